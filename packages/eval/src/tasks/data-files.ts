import { DataError, describeIssues } from '@vwn/core';
import { existsSync, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';

/** `dir`, with a word on it where it is no folder: for errors. */
export function describeFolder(dir: string): string {
  if (!existsSync(dir)) return `${dir}, which does not exist`;
  return statSync(dir).isDirectory() ? dir : `${dir}, which is a file`;
}

/** Names in a folder; none where there is none. @throws DataError */
export async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw new DataError(`cannot look into ${folder}`, {
      expected: 'a folder of data files',
      got: cause.message,
      cause,
    });
  });
}

/** @throws DataError for a file that cannot be read or is not UTF-8 */
export async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new DataError(`cannot read ${file}`, { got: cause instanceof Error ? cause.message : String(cause), cause });
  });
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file} is not UTF-8 text`, { hint: 'Convert it, e.g. with iconv -t utf-8', cause });
  }
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
  const documents = (await readText(file))
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
