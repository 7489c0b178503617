import { InvalidArgumentError } from 'commander';

/** Parsers for option values; commander prints the message with the option's name. */
export function positiveInteger(text: string): number {
  return wholeNumber(text, 1);
}

export function nonNegativeInteger(text: string): number {
  return wholeNumber(text, 0);
}

function wholeNumber(text: string, least: number): number {
  const value = Number(text);
  // An empty text would be 0.
  if (text.trim() === '' || !Number.isInteger(value) || value < least)
    throw new InvalidArgumentError(`expected a whole number of at least ${least}.`);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError(`expected at most ${Number.MAX_SAFE_INTEGER}.`);
  return value;
}

/** An empty name, as an unset variable of a shell gives it, would be the folder that one is in. */
export function folder(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('expected the name of a folder.');
  return text;
}

export function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('expected a number from 0 to 1.');
  return value;
}

export function nonNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && Number.isFinite(value)))
    throw new InvalidArgumentError('expected a number of at least 0.');
  return value;
}
