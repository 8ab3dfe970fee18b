import { ArgumentError } from "../errors.ts";
import { translate } from "../native.ts";

/** How far the training of a tokenizer is. */
export interface TokenizerTrainingProgress {
  /** Words of the texts are counted, then a vocabulary is made of them. */
  readonly stage: "words" | "vocabulary";
  /** Of the words, bytes of text; of the vocabulary, whatever `total` counts. */
  readonly done: number;
  /** Not known of texts that are still to come. */
  readonly total?: number;
}

export interface TokenizerTrainingOptions {
  /** Stops the training, which rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called now and then, and at the end of each stage. */
  onProgress?: (progress: TokenizerTrainingProgress) => void;
}

const reportMs = 100;

/**
 * What native code does on threads of its own while the event loop runs on.
 *
 * @param start gets an Int32Array [stop, done, total] through which the work is stopped and followed
 * @throws ArgumentError as native code words it, after the name of `caller`; the reason of an aborted signal; what
 *   `report` throws
 */
export async function runJob<T>(
  caller: string,
  start: (control: Int32Array) => Promise<T>,
  signal: AbortSignal | undefined,
  report?: (done: number, total: number) => void,
): Promise<T> {
  signal?.throwIfAborted();
  const control = new Int32Array(3);
  const stop = () => Atomics.store(control, 0, 1);
  let failed: { cause: unknown } | undefined;
  const timer = setInterval(() => {
    try {
      report?.(Atomics.load(control, 1), Atomics.load(control, 2));
    } catch (cause) {
      failed ??= { cause };
      stop();
    }
  }, reportMs);
  signal?.addEventListener("abort", stop);
  try {
    const result = await start(control);
    signal?.throwIfAborted();
    return result;
  } catch (error) {
    if (failed) throw failed.cause;
    signal?.throwIfAborted();
    const { code, message } = error as { code?: string; message: string };
    throw code === "ERR_ARGUMENT" ? new ArgumentError(`${caller}: ${message}`) : translate(error);
  } finally {
    signal?.removeEventListener("abort", stop);
    clearInterval(timer);
  }
}
