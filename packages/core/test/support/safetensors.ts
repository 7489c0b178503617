import { readFileSync } from 'node:fs';

export interface Stored {
  readonly shape: number[];
  readonly values: Float32Array | Int32Array;
}

/** The least that reads a trusted F32/I64/I32 fixture; the real reader is @vwn/layers/checkpoint. */
export function readFixture(file: string): { tensors: Map<string, Stored>; metadata: Record<string, string> } {
  const bytes = readFileSync(file);
  const headerSize = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(bytes.toString('utf8', 8, 8 + headerSize));
  const tensors = new Map<string, Stored>();
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: [number, number] };
    const [from, to] = data_offsets.map((offset) => 8 + headerSize + offset) as [number, number];
    tensors.set(name, {
      shape,
      values: decode(dtype, bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + to)),
    });
  }
  return { tensors, metadata };
}

function decode(dtype: string, buffer: ArrayBufferLike): Float32Array | Int32Array {
  if (dtype === 'F32') return new Float32Array(buffer);
  if (dtype === 'I32') return new Int32Array(buffer);
  if (dtype === 'I64') return Int32Array.from(new BigInt64Array(buffer), Number);
  throw new Error(`fixture dtype ${dtype}`);
}
