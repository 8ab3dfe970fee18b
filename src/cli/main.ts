#!/usr/bin/env node
import { exitCodes } from "./command.ts";
import { dispatch, failureOf } from "./dispatch.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(exitCodes.done); // whoever read the output has seen enough
});

const args = process.argv.slice(2);
try {
  process.exitCode = await dispatch(args);
} catch (error) {
  const { message, exitCode } = failureOf(args, error);
  console.error(message);
  process.exitCode = exitCode;
}
