import { DataError } from '@vwn/core';

type Json = Record<string, unknown>;

/** A text field of a record. @throws DataError naming file, line and field */
export function textField(record: Json, field: string, where: string): string {
  const value = record[field];
  if (typeof value === 'string') return value;
  throw new DataError(`${where}: field "${field}" is not a text`, {
    expected: 'a text',
    got: JSON.stringify(value) ?? 'nothing',
  });
}

/** A field that is a list of texts. @throws DataError */
export function textsField(record: Json, field: string, where: string): string[] {
  const value = record[field];
  if (Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string'))
    return value as string[];
  throw new DataError(`${where}: field "${field}" is not a list of texts`, {
    expected: 'a list of texts',
    got: JSON.stringify(value) ?? 'nothing',
  });
}

/** Position of the right answer. @throws DataError when there is none */
export function requireGold(index: number, choices: number, where: string, answer: unknown): number {
  if (Number.isInteger(index) && index >= 0 && index < choices) return index;
  throw new DataError(`${where}: the answer is not one of the choices`, {
    expected: `one of ${choices} choices`,
    got: JSON.stringify(answer) ?? 'nothing',
  });
}
