import { VwnError } from '@vwn/core';
import { CommanderError } from 'commander';

/** Exit codes, as the README lists them. */
export const ExitCode = { ok: 0, failed: 1, usage: 2, defect: 70, interrupted: 130 } as const;

/** Thrown by a command that was stopped by Ctrl-C after saving what it had. */
export class Interrupted extends Error {}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (error instanceof Interrupted) return ExitCode.interrupted;
  return error instanceof VwnError ? ExitCode.failed : ExitCode.defect;
}

/** A user's mistake gets a message; anything else is a defect of ours and gets its stack. */
export function printFailure(error: unknown): void {
  if (error instanceof CommanderError) return; // commander has printed it
  if (error instanceof Interrupted) return void process.stderr.write(`${error.message}\n`);
  if (error instanceof VwnError) return void process.stderr.write(`vwn: ${error.message}\n`);
  const stack = error instanceof Error ? error.stack : String(error);
  process.stderr.write(`vwn: this is a defect of vwn, please report it with the lines below.\n${stack}\n`);
}
