import { ConfigError } from '@vwn/core';
import { opCases, type OpCase } from '@vwn/core/testing';

/**
 * Rows of the one case table of a size whose name contains one of the texts (all of that size without any).
 * @throws ConfigError for a text that fits no row, listing the operations
 */
export function selectCases(
  texts: readonly string[],
  size: OpCase['size'],
  all: readonly OpCase[] = opCases,
): readonly OpCase[] {
  const ofSize = all.filter((each) => each.size === size);
  if (texts.length === 0) return ofSize;
  for (const text of texts) if (!ofSize.some(({ name }) => contains(name, text))) throw unknown(text, size, all);
  return ofSize.filter(({ name }) => texts.some((text) => contains(name, text)));
}

function contains(name: string, text: string): boolean {
  return name.toLowerCase().includes(text.toLowerCase());
}

function unknown(text: string, size: OpCase['size'], all: readonly OpCase[]): ConfigError {
  const ops = [...new Set(all.filter((each) => each.size === size).map(({ op }) => op))];
  const elsewhere = all.find(({ name }) => contains(name, text));
  return new ConfigError(`--op ${text} fits no ${size} case`, {
    expected: `an operation, or any part of a case’s name: ${ops.join(', ')}`,
    hint: elsewhere ? `There is one with --size ${elsewhere.size}` : 'Without --op every case is timed',
  });
}
