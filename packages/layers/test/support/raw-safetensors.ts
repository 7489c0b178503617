import { writeFileSync } from 'node:fs';

/** A safetensors file with any header, right or wrong, and any data. */
export function writeRaw(file: string, header: unknown, data: Uint8Array = new Uint8Array()): void {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  writeFileSync(file, Buffer.concat([length, json, data]));
}

export function entry(dtype: string, shape: number[], begin: number, end: number) {
  return { dtype, shape, data_offsets: [begin, end] };
}
