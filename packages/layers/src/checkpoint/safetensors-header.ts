import { CheckpointError } from '@vwn/core';
import { repeatedKey } from './repeated-key';

/** Bytes of one element, for the dtypes that are read. */
export const elementBytes = { F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4 } as const;
export type Dtype = keyof typeof elementBytes;

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Byte range within the data that follows the header. */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: readonly HeaderEntry[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the data begins in the file. */
  readonly dataStart: number;
}

/** The format's own limit. */
export const maxHeaderBytes = 100_000_000;
const remedy = 'The file is damaged or was not written completely; copy or download it again';

/** @throws CheckpointError when the length that the first 8 bytes give cannot be that of a header. */
export function headerLength(first: Uint8Array, fileSize: number, file: string): number {
  if (first.length < 8) throw damaged(file, 'too short to be safetensors', 'at least 8 bytes', `${fileSize} bytes`);
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true));
  if (length > maxHeaderBytes || 8 + length > fileSize)
    throw damaged(file, 'the header does not fit into the file', `at most ${fileSize - 8} bytes`, `${length}`);
  return length;
}

/** Checks everything that could make a tensor read wrong bytes. @throws CheckpointError naming file and tensor */
export function parseHeader(bytes: Uint8Array, fileSize: number, file: string): Header {
  const { __metadata__: metadata = {}, ...tensors } = parseJson(bytes, file);
  const dataStart = 8 + bytes.length;
  const entries = Object.entries(tensors).map(([name, value]) => parseEntry(name, value, file));
  checkLayout(entries, fileSize - dataStart, file);
  return { entries, metadata: parseMetadata(metadata, file), dataStart };
}

function parseJson(bytes: Uint8Array, file: string): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${file}: the header is not JSON`, { hint: remedy, cause });
  }
  if (!isObject(value))
    throw damaged(file, 'the header is not a JSON object', 'tensor names and their places', text.slice(0, 40));
  const repeated = repeatedKey(text);
  if (repeated === undefined) return value;
  throw damaged(file, `the header names ${repeated} twice`, 'each name once', 'two entries');
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (isObject(value) && Object.values(value).every((each) => typeof each === 'string'))
    return value as Record<string, string>;
  throw damaged(file, '__metadata__ is malformed', 'an object of strings', JSON.stringify(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function parseEntry(name: string, value: unknown, file: string): HeaderEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !Object.hasOwn(elementBytes, dtype))
    throw new CheckpointError(`${file}: tensor ${name} has dtype ${String(dtype)}`, {
      expected: Object.keys(elementBytes).join(', '),
      hint: 'Save the model in float32, float16 or bfloat16',
    });
  if (!isSizes(shape))
    throw damaged(file, `tensor ${name} has no valid shape`, 'a list of sizes', JSON.stringify(shape));
  if (!isSizes(offsets) || offsets.length !== 2)
    throw damaged(file, `tensor ${name} has no valid data_offsets`, '[begin, end]', JSON.stringify(offsets));
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((product, size) => product * size, 1) * elementBytes[dtype as Dtype];
  if (end - begin !== bytes)
    throw damaged(
      file,
      `tensor ${name} has the wrong number of bytes`,
      `${bytes} for ${dtype} [${shape.join(', ')}]`,
      `${end - begin}`,
    );
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((each) => Number.isSafeInteger(each) && each >= 0);
}

/** Tensors must fill the data without gap or overlap, to its end. */
function checkLayout(entries: readonly HeaderEntry[], dataBytes: number, file: string): void {
  let reached = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== reached)
      throw damaged(file, `tensor ${name} leaves a gap or overlaps another`, `data from byte ${reached}`, `${begin}`);
    reached = end;
  }
  if (reached > dataBytes) throw damaged(file, 'truncated', `${reached} bytes of tensors`, `${dataBytes}`);
  if (reached < dataBytes)
    throw damaged(file, 'bytes after the last tensor', `${reached} bytes of tensors`, `${dataBytes}`);
}

function damaged(file: string, what: string, expected: string, got: string | undefined): CheckpointError {
  return new CheckpointError(`${file}: ${what}`, { expected, got: String(got), hint: remedy });
}
