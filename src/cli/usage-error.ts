import { ArgumentError } from "../errors.ts";

/** What is wrong with the command line, or with the file of `--config`: exit code 2. */
export class UsageError extends ArgumentError {}

/** A complaint about arguments as one about options that the user gave; any other error as it is. */
export function usageErrorOf(error: unknown, translate: (message: string) => string = String): unknown {
  const isOurs = error instanceof ArgumentError && !(error instanceof UsageError);
  return isOurs ? new UsageError(translate(error.message)) : error;
}

/** What `body` gives, with its complaints about arguments as those about options. */
export function asUsage<T>(body: () => T, translate?: (message: string) => string): T {
  try {
    return body();
  } catch (error) {
    throw usageErrorOf(error, translate);
  }
}
