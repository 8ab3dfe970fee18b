import {
  ArgumentError,
  type CausalLM,
  type ChatMessage,
  type GenerationConfig,
  type Prefix,
  processPrefix,
  stream,
} from "../index.ts";
import { isInterruption } from "./interrupts.ts";
import type { AnyTokenizer } from "./model-folder.ts";

export interface ConversationOptions {
  /** The ids that the messages are for the model, up to where its answer begins. @throws ArgumentError */
  render(messages: readonly ChatMessage[]): Int32Array;
  generation(promptLength: number): GenerationConfig & { seed: number };
  system?: string | undefined;
}

/** What an answer was. */
export interface Turn {
  content: string;
  /** That the answer has. */
  tokens: number;
  /** That the model was given: the whole conversation. */
  promptTokens: number;
  /** Of those, how many had been processed for the answer before. */
  reusedTokens: number;
  /** The oldest messages that are left out, because they no longer fit. */
  droppedMessages: number;
  interrupted: boolean;
}

/** A model and what has been said. What it has read of a conversation it does not read again. */
export class Conversation {
  readonly #model: CausalLM;
  readonly #tokenizer: AnyTokenizer;
  readonly #options: ConversationOptions;
  #system: string | undefined;
  #messages: ChatMessage[] = [];
  #prefix: Prefix | undefined;

  constructor(model: CausalLM, tokenizer: AnyTokenizer, options: ConversationOptions) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#options = options;
    this.#system = options.system;
  }

  /** Forgets what has been said; with `system`, there is another system message. */
  reset(system: string | undefined = this.#system): void {
    this.#messages = [];
    this.#system = system === "" ? undefined : system;
  }

  /**
   * Answers, piece by piece; what has been written when `signal` aborts stays in the conversation.
   *
   * @throws ArgumentError where the template refuses the message or it is too long; the conversation is then as before
   */
  async *answer(text: string, signal: AbortSignal): AsyncGenerator<string, Turn> {
    const said = [...this.#messages, { role: "user", content: text }];
    const { messages, ids } = this.#fit(said);
    const turn: Turn = {
      content: "",
      tokens: 0,
      promptTokens: ids.length,
      reusedTokens: this.#sharedLength(ids),
      droppedMessages: said.length - messages.length,
      interrupted: false,
    };
    try {
      await this.#read(ids, turn.reusedTokens, signal);
      const count = () => {
        turn.tokens++;
        return false;
      };
      const how = {
        ...this.#options.generation(ids.length),
        stoppingCriteria: [count],
        prefix: this.#prefix,
      };
      for await (const piece of stream(this.#model, ids, { ...how, tokenizer: this.#tokenizer, signal })) {
        turn.content += piece;
        yield piece;
      }
    } catch (error) {
      if (!isInterruption(error, signal)) throw error;
      turn.interrupted = true;
    }
    this.#messages = [...messages, { role: "assistant", content: turn.content }];
    return turn;
  }

  dispose(): void {
    this.#prefix?.dispose();
  }

  /** The newest of the messages that leave room for an answer, of which the first is the user's. */
  #fit(messages: ChatMessage[]): { messages: ChatMessage[]; ids: Int32Array } {
    const { contextLength } = this.#model.config;
    const system = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
    for (let first = 0; ; first += 2) {
      const kept = messages.slice(first);
      const ids = this.#options.render([...system, ...kept]);
      const { maxNewTokens } = this.#options.generation(ids.length);
      const room = Math.min(maxNewTokens ?? 0, contextLength >> 1);
      if (ids.length + room <= contextLength || (kept.length === 1 && ids.length < contextLength)) {
        return { messages: kept, ids };
      }
      if (kept.length > 1) continue;
      throw new ArgumentError(
        `a message must be shorter than the ${contextLength} tokens that the model sees; got ${ids.length} tokens`,
      );
    }
  }

  #sharedLength(ids: Int32Array): number {
    const known = this.#prefix?.ids ?? new Int32Array(0);
    let shared = 0;
    while (shared < ids.length - 1 && shared < known.length && ids[shared] === known[shared]) shared++;
    return shared;
  }

  async #read(ids: Int32Array, shared: number, signal: AbortSignal): Promise<void> {
    const before = this.#prefix;
    const from = shared > 0 && before !== undefined ? { prefix: before } : {};
    this.#prefix = await processPrefix(this.#model, ids, { signal, ...from });
    before?.dispose();
  }
}
