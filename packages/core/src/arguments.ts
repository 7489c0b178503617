/** Checks of arguments that are no tensors. Each names the operation or layer, and its argument. */
import { ConfigError } from './errors';

/** @throws ConfigError unless the number is 1, 2, 3, … */
export function requirePositiveWhole(op: string, name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new ConfigError(`${op}: ${name} is not a positive whole number`, {
    expected: 'at least 1',
    got: String(value),
  });
}

/** @throws ConfigError unless the number is 0 or above, and finite. */
export function requireNotNegative(op: string, name: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return;
  throw new ConfigError(`${op}: ${name} is negative, or no number`, {
    expected: 'a number of at least 0',
    got: String(value),
  });
}

/** @throws ConfigError unless the number is from 0 to 1. */
export function requireShare(op: string, name: string, value: number): void {
  if (value >= 0 && value <= 1) return;
  throw new ConfigError(`${op}: ${name} is not a share`, { expected: 'a number from 0 to 1', got: String(value) });
}

/** @throws ConfigError unless the number can be added to a mean square before its root is taken. */
export function requireEpsilon(op: string, name: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return;
  throw new ConfigError(`${op}: ${name} cannot be added to a mean square`, {
    expected: 'a number of at least 0, such as 1e-6',
    got: String(value),
  });
}

/** @throws ConfigError unless the value is one of `choices`. */
export function requireChoice(op: string, name: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return;
  throw new ConfigError(`${op}: there is no such ${name}`, {
    expected: choices.join(', '),
    got: String(value),
  });
}
