import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/checkpoint/index';
import { entry, writeRaw } from '../support/raw-safetensors';
import { temporaryFolder } from '../support/temporary-folder';

const file = `${temporaryFolder()}/half.safetensors`;

async function read(dtype: 'F16' | 'BF16', bits: number[]): Promise<Float32Array> {
  const data = Uint16Array.from(bits);
  writeRaw(file, { x: entry(dtype, [bits.length], 0, data.byteLength) }, new Uint8Array(data.buffer));
  return (await readSafetensors(file)).get('x')?.values as Float32Array;
}

/** Bits and the value that IEEE 754 gives them (binary16), from its tables. */
const halves: [number, number][] = [
  [0x0000, 0],
  [0x8000, -0],
  [0x0001, 2 ** -24], // smallest subnormal
  [0x8001, -(2 ** -24)],
  [0x03ff, 0.00006097555160522461], // largest subnormal
  [0x0400, 2 ** -14], // smallest normal
  [0x3555, 0.333251953125],
  [0x3bff, 0.99951171875],
  [0x3c00, 1],
  [0x3c01, 1.0009765625],
  [0xc000, -2],
  [0x7bff, 65504], // largest
  [0x7c00, Number.POSITIVE_INFINITY],
  [0xfc00, Number.NEGATIVE_INFINITY],
  [0x7c01, Number.NaN],
  [0x7e00, Number.NaN],
  [0xffff, Number.NaN],
];

const brains: [number, number][] = [
  [0x0000, 0],
  [0x8000, -0],
  [0x0001, 2 ** -133], // smallest subnormal
  [0x007f, 127 * 2 ** -133], // largest subnormal
  [0x0080, 2 ** -126],
  [0x3eab, 0.333984375],
  [0x3f80, 1],
  [0xc049, -3.140625],
  [0x7f7f, 255 * 2 ** 120], // largest
  [0x7f80, Number.POSITIVE_INFINITY],
  [0xff80, Number.NEGATIVE_INFINITY],
  [0x7fc0, Number.NaN],
  [0xffff, Number.NaN],
];

describe('half precision', () => {
  it.each([
    ['F16', halves],
    ['BF16', brains],
  ] as const)('%s: known bit patterns give exactly their values', async (dtype, table) => {
    const values = await read(
      dtype,
      table.map(([bits]) => bits),
    );
    table.forEach(([bits, expected], i) => expect(values[i], bits.toString(16)).toBe(expected));
  });

  it('F16: every finite pattern is monotonous in its bits and exact in float32', async () => {
    const values = await read(
      'F16',
      Array.from({ length: 0x7c01 }, (_, bits) => bits),
    );
    for (let i = 1; i < values.length; i++) expect(values[i] as number).toBeGreaterThan(values[i - 1] as number);
  });
});
