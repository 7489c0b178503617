import { DataError } from '@vwn/core';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MultipleChoice, Task } from './task';

/** The questions of a task, from the first of its files that the folder holds. @throws DataError */
export async function loadDocuments(task: Task, dataDir: string): Promise<MultipleChoice[]> {
  const file = task.files.map((name) => join(dataDir, name)).find((path) => existsSync(path));
  if (!file)
    throw new DataError(`${dataDir} holds no data of ${task.name}`, {
      expected: `one of ${task.files.join(', ')}`,
      hint: 'Put the published JSONL file there under that name',
    });
  const lines = (await readFile(file, 'utf8')).split('\n');
  const documents = lines.flatMap((line, i) =>
    line.trim() === '' ? [] : [task.read(parseRecord(line, `${file}:${i + 1}`), `${file}:${i + 1}`)],
  );
  if (documents.length === 0) throw new DataError(`${file} is empty`, { expected: 'one JSON object a line' });
  return documents;
}

function parseRecord(line: string, where: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new DataError(`${where} is not valid JSON`, { got: line.slice(0, 80), cause });
  }
  throw new DataError(`${where} is not an object`, { got: line.slice(0, 80) });
}
