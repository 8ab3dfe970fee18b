/** What an error that was caught says. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
