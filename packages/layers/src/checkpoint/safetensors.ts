import { CheckpointError, ShapeError } from '@vwn/core';
import { open, type FileHandle } from 'node:fs/promises';
import type { StoredTensor } from '../parameters';
import { isSystemError, writeFileAtomically } from './atomic-write';
import { fromBfloat16, fromFloat16 } from './half-floats';
import { headerLength, parseHeader, type Dtype, type Header, type HeaderEntry } from './safetensors-header';

/**
 * Reads all tensors of a safetensors file as float32 (from F32, F16, BF16, I32, I64).
 * @throws CheckpointError naming the file, the tensor and the remedy
 */
export async function readSafetensors(file: string): Promise<Map<string, StoredTensor>> {
  return withFile(file, async (handle) => {
    const { entries, dataStart } = await readHeader(handle, file);
    const tensors = new Map<string, StoredTensor>();
    for (const entry of entries) tensors.set(entry.name, await readTensor(handle, entry, dataStart, file));
    return tensors;
  });
}

/** The `__metadata__` of a file. @throws CheckpointError */
export async function readSafetensorsMetadata(file: string): Promise<Readonly<Record<string, string>>> {
  return withFile(file, async (handle) => (await readHeader(handle, file)).metadata);
}

/** Opens, reads and closes; what the operating system refuses becomes a CheckpointError. */
async function withFile<T>(file: string, read: (handle: FileHandle) => Promise<T>): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, 'r');
    return await read(handle);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new CheckpointError(`cannot read ${file}`, {
      got: cause.message,
      hint: 'Is the checkpoint folder complete?',
      cause,
    });
  } finally {
    await handle?.close();
  }
}

async function readHeader(handle: FileHandle, file: string): Promise<Header> {
  const { size } = await handle.stat();
  const length = headerLength(await readBytes(handle, 0, Math.min(8, size)), size, file);
  return parseHeader(await readBytes(handle, 8, length), size, file);
}

async function readTensor(
  handle: FileHandle,
  entry: HeaderEntry,
  dataStart: number,
  file: string,
): Promise<StoredTensor> {
  const bytes = await readBytes(handle, dataStart + entry.begin, entry.end - entry.begin);
  if (bytes.length !== entry.end - entry.begin)
    throw new CheckpointError(`${file}: tensor ${entry.name} ends before its data does`, {
      expected: `${entry.end - entry.begin} bytes`,
      got: String(bytes.length),
      hint: 'The file was cut off while it was read; copy or download it again',
    });
  return { shape: entry.shape, values: decode(entry.dtype, bytes.buffer as ArrayBuffer) };
}

/** node refuses to move 2 GiB or more at once. */
const maxTransfer = 2 ** 30;

async function readBytes(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const wanted = Math.min(length - filled, maxTransfer);
    const { bytesRead } = await handle.read(bytes, filled, wanted, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function decode(dtype: Dtype, buffer: ArrayBuffer): Float32Array {
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'F16':
      return fromFloat16(new Uint16Array(buffer));
    case 'BF16':
      return fromBfloat16(new Uint16Array(buffer));
    case 'I32':
      return Float32Array.from(new Int32Array(buffer));
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer), Number);
  }
}

/**
 * Writes float32 tensors as one safetensors file, under a temporary name that is flushed to disk and then renamed, so
 * that the file either is complete or does not exist. Tensors keep their order.
 * @throws StorageError naming the file (disk full, no permission); ShapeError for values that do not fill their shape, and for
 * names that are given twice or stand for metadata
 */
export async function writeSafetensors(
  file: string,
  tensors: Iterable<readonly [string, StoredTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const list = [...tensors];
  // Without a prototype, since a tensor may be called __proto__.
  const header = Object.create(null) as Record<string, unknown>;
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { shape, values }] of list) {
    checkTensor(name, shape, values, header);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, (offset += values.byteLength)] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Data aligned to 8 bytes, as the format recommends; JSON may be padded with spaces.
  const padded = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(0x20);
  padded.set(json);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
  const data = list.map(([, { values }]) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  await writeFileAtomically(file, [length, padded, ...data]);
}

function checkTensor(
  name: string,
  shape: readonly number[],
  { length }: Float32Array,
  header: Readonly<Record<string, unknown>>,
): void {
  const size = shape.reduce((product, each) => product * each, 1);
  if (length !== size)
    throw new ShapeError(`tensor ${name} does not fill its shape`, {
      expected: `${size} values for [${shape.join(', ')}]`,
      got: String(length),
    });
  if (name === '__metadata__')
    throw new ShapeError('no tensor can be called __metadata__', {
      hint: 'Give it another name; safetensors files keep their metadata under this one',
    });
  if (Object.hasOwn(header, name))
    throw new ShapeError(`tensor ${name} is given twice`, { expected: 'distinct names' });
}
