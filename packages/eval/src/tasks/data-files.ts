import { DataError, describeIssues } from '@vwn/core';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';

/** `dir`, with a word on it where it does not exist: for errors. */
export function describeFolder(dir: string): string {
  return existsSync(dir) ? dir : `${dir}, which does not exist`;
}

/**
 * The first that exists of: `names` in the folder of the task, `names` in the data folder, then names too general to
 * be the task's alone, in the same two places.
 */
export function findDataFile(
  dataDir: string,
  task: string,
  { names, general = [] }: { names: readonly string[]; general?: readonly string[] },
): string | undefined {
  const inFolders = (each: readonly string[]) => [
    ...each.map((name) => join(dataDir, task, name)),
    ...each.map((name) => join(dataDir, name)),
  ];
  return [...inFolders(names), ...inFolders(general)].find((path) => existsSync(path) && statSync(path).isFile());
}

/** The rows of a JSONL file, each made a document by `parse`. @throws DataError that names file, line and field */
export async function readJsonLines<T>(file: string, parse: (row: unknown, where: string) => T): Promise<T[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new DataError(`cannot read ${file}`, { got: cause instanceof Error ? cause.message : String(cause), cause });
  });
  const documents = text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((line, i) => (line.trim() === '' ? [] : [parse(parseLine(line, `${file}:${i + 1}`), `${file}:${i + 1}`)]));
  if (documents.length === 0)
    throw new DataError(`${file} is empty`, { expected: 'one JSON object a line', hint: 'Download the file again' });
  return documents;
}

/** A row by its schema. @throws DataError that names place and field */
export function parseRow<T>(schema: z.ZodType<T>, row: unknown, where: string, form: string): T {
  const parsed = schema.safeParse(row);
  if (parsed.success) return parsed.data;
  throw new DataError(`${where}: ${describeIssues(parsed.error, row).join('; ')}`, { hint: `A line holds ${form}` });
}

function parseLine(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new DataError(`${where} is not valid JSON`, {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'Every line holds one JSON object; was the file cut off, or is it not JSONL?',
      cause,
    });
  }
}
