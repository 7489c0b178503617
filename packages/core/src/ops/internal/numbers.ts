import { ConfigError } from '../../errors';

/** @throws ConfigError unless the number is 1, 2, 3, … */
export function requirePositiveWhole(op: string, name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new ConfigError(`${op}: ${name} is not a positive whole number`, {
    expected: 'at least 1',
    got: String(value),
  });
}

/** @throws ConfigError unless the number can be added to a mean square before its root is taken. */
export function requireEpsilon(op: string, name: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return;
  throw new ConfigError(`${op}: ${name} cannot be added to a mean square`, {
    expected: 'a number of at least 0, such as 1e-6',
    got: String(value),
  });
}
