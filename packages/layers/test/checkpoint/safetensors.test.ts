import { CheckpointError, ShapeError } from '@vwn/core';
import fc from 'fast-check';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensors, readSafetensorsMetadata, writeSafetensors } from '../../src/checkpoint/index';
import { readFixture } from '../../../core/test/support/safetensors';
import { entry, writeRaw } from '../support/raw-safetensors';
import { temporaryFolder } from '../support/temporary-folder';

const folder = temporaryFolder();
const golden = new URL('../fixtures/golden/lm/llama/', import.meta.url).pathname;

let files = 0;
function newFile(): string {
  return join(folder, `${files++}.safetensors`);
}

function bytesOf(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** Reading must fail, and say which file, what and how to go on. */
async function expectRefused(file: string, ...texts: (string | RegExp)[]): Promise<void> {
  const error = await readSafetensors(file).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  for (const text of [file, ...texts]) expect((error as Error).message).toMatch(text);
}

describe('safetensors round trip', () => {
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc.string({ minLength: 1, maxLength: 12 }).filter((name) => name !== '__metadata__'),
      shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
      seed: fc.integer(),
    }),
    { selector: ({ name }) => name, maxLength: 5 },
  );

  it('what was written is read: names in order, shapes, and every bit of the values', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, async (list) => {
        const file = newFile();
        const written = list.map(({ name, shape, seed }) => {
          const size = shape.reduce((a, b) => a * b, 1);
          const values = new Float32Array(Int32Array.from({ length: size }, (_, i) => seed + i * 0x01234567).buffer);
          return [name, { shape, values }] as const;
        });
        await writeSafetensors(file, written);
        const read = [...(await readSafetensors(file))];
        expect(read.map(([name, { shape }]) => [name, shape]).sort()).toEqual(
          written.map(([name, { shape }]) => [name, shape]).sort(),
        );
        for (const [name, { values }] of written) expect(bits(new Map(read).get(name)?.values)).toEqual(bits(values));
      }),
      { numRuns: 60, examples: [[['__proto__', 'constructor'].map((name) => ({ name, shape: [2], seed: 1 }))]] },
    );
  });

  it('metadata is kept', async () => {
    const file = newFile();
    await writeSafetensors(file, [], { format: 'pt', note: 'ü' });
    expect(await readSafetensorsMetadata(file)).toEqual({ format: 'pt', note: 'ü' });
  });

  it('a view into a larger buffer is written as the view alone', async () => {
    const file = newFile();
    await writeSafetensors(file, [['a', { shape: [2], values: Float32Array.of(9, 1, 2, 9).subarray(1, 3) }]]);
    expect([...((await readSafetensors(file)).get('a')?.values ?? [])]).toEqual([1, 2]);
  });

  it('a file that torch wrote is read as the simplest reader reads it', async () => {
    const simple = readFixture(`${golden}model.safetensors`).tensors;
    const read = await readSafetensors(`${golden}model.safetensors`);
    expect([...read.keys()].sort()).toEqual([...simple.keys()].sort());
    for (const [name, { shape, values }] of simple) expect(read.get(name)).toEqual({ shape, values });
  });

  it('I32 and I64 tensors are read as numbers', async () => {
    const file = newFile();
    const data = Buffer.concat([
      Buffer.from(Int32Array.of(-3, 7).buffer),
      Buffer.from(BigInt64Array.of(-5n, 2n ** 40n).buffer),
    ]);
    writeRaw(file, { a: entry('I32', [2], 0, 8), b: entry('I64', [2], 8, 24) }, data);
    const read = await readSafetensors(file);
    expect([...(read.get('a')?.values ?? []), ...(read.get('b')?.values ?? [])]).toEqual([-3, 7, -5, 2 ** 40]);
  });

  it('values that do not fill their shape, and names given twice or kept for metadata, are not written', async () => {
    const file = newFile();
    const tensor = { shape: [3], values: Float32Array.of(1, 2) };
    await expect(writeSafetensors(file, [['a', tensor]])).rejects.toThrow(
      new ShapeError('tensor a does not fill its shape', { expected: '3 values for [3]', got: '2' }),
    );
    const good = { shape: [2], values: Float32Array.of(1, 2) };
    await expect(writeSafetensors(file, [['a', good], ['a', good]])).rejects.toThrow(/tensor a is given twice/); // prettier-ignore
    await expect(writeSafetensors(file, [['__metadata__', good]])).rejects.toThrow(
      /no tensor can be called __metadata__/,
    );
    expect(readdirSync(folder).filter((name) => name.startsWith(basename(file)))).toEqual([]);
  });
});

describe('damaged safetensors', () => {
  const whole = readFileSync(`${golden}model.safetensors`);

  it('a file cut off anywhere is refused with its name', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 1 }), async (length) => {
        const file = newFile();
        writeFileSync(file, whole.subarray(0, length));
        await expectRefused(file, /copy or download it again/);
      }),
      { numRuns: 120, examples: [[0], [7], [8], [9], [whole.length - 1]] },
    );
  });

  it('any bytes are refused, and never with another error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        const file = newFile();
        writeFileSync(file, bytes);
        await expectRefused(file);
      }),
      { numRuns: 60 },
    );
  });

  it('a changed byte of the header is refused with a CheckpointError, or at most changes a name or a type', async () => {
    const headerEnd = 8 + Number(whole.readBigUInt64LE(0));
    const total = whole.length - headerEnd;
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: headerEnd - 1 }), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const file = newFile();
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] as number) ^ change;
        writeFileSync(file, bytes);
        const read = await readSafetensors(file).catch((error: unknown) => error);
        if (read instanceof Map)
          expect([...read.values()].reduce((sum, { values }) => sum + values.byteLength, 0)).toBe(total);
        else {
          expect(read).toBeInstanceOf(CheckpointError);
          expect((read as Error).message).toContain(file);
        }
      }),
      { numRuns: 150 },
    );
  });

  const a = entry('F32', [2], 0, 8);
  it.each<[string, unknown, Uint8Array, (string | RegExp)[]]>([
    ['data that ends early', { a }, bytesOf(1), ['truncated: expected 8 bytes of tensors, got 4']],
    ['bytes after the data', { a }, bytesOf(1, 2, 3), ['bytes after the last tensor: expected 8']],
    ['a header that is not JSON', '{"a":', bytesOf(1), ['the header is not JSON']],
    ['a header that is a list', [1], bytesOf(), ['not a JSON object']],
    ['a gap', { a, b: entry('F32', [1], 12, 16) }, bytesOf(1, 2, 3, 4), ['tensor b leaves a gap or overlaps']],
    ['an overlap', { a, b: entry('F32', [1], 4, 8) }, bytesOf(1, 2), ['tensor b leaves a gap or overlaps']],
    ['data that does not begin at 0', { a: entry('F32', [1], 4, 8) }, bytesOf(1, 2), ['tensor a leaves a gap']],
    ['a size that is not that of the shape', { a: entry('F32', [3], 0, 8) }, bytesOf(1, 2), ['12 for F32 [3]']],
    ['a type whose size differs', { a: entry('F16', [2], 0, 8) }, bytesOf(1, 2), ['4 for F16 [2], got 8']],
    ['a type that is not read', { a: entry('F8_E4M3', [8], 0, 8) }, bytesOf(1, 2), ['dtype F8_E4M3', 'float32']],
    ['a type named like a method', { a: entry('toString', [2], 0, 8) }, bytesOf(1, 2), ['dtype toString']],
    ['no type', { a: { shape: [2], data_offsets: [0, 8] } }, bytesOf(1, 2), ['dtype undefined']],
    ['an entry that is null', { a: null }, bytesOf(), ['tensor a']],
    ['a negative size', { a: entry('F32', [-2], 0, 8) }, bytesOf(1, 2), ['no valid shape']],
    ['a broken size', { a: entry('F32', [1.5], 0, 6) }, bytesOf(1, 2), ['no valid shape']],
    ['no offsets', { a: { dtype: 'F32', shape: [2] } }, bytesOf(1, 2), ['no valid data_offsets']],
    ['offsets that run backwards', { a: entry('F32', [0], 8, 4) }, bytesOf(1, 2), ['wrong number of bytes']],
    ['a name given twice', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytesOf(1), ['names a twice']], // prettier-ignore
    ['metadata that is no text', { __metadata__: { a: 1 }, a }, bytesOf(1, 2), ['__metadata__ is malformed']],
  ])('%s is refused', async (_, header, data, texts) => {
    const file = newFile();
    writeRaw(file, header, data);
    await expectRefused(file, ...texts);
  });

  it('a header length beyond the file, or beyond the format’s limit, is refused before anything is allocated', async () => {
    for (const length of [1000n, 2n ** 40n, 2n ** 64n - 1n]) {
      const file = newFile();
      const bytes = Buffer.alloc(64);
      bytes.writeBigUInt64LE(length);
      writeFileSync(file, bytes);
      await expectRefused(file, /the header does not fit into the file/);
    }
  });

  it('a missing file and a folder in its place are refused', async () => {
    await expectRefused(newFile(), /ENOENT.*Is the checkpoint folder complete/);
    const file = newFile();
    mkdirSync(file);
    await expectRefused(file, 'cannot read');
  });
});

function bits(values: Float32Array | undefined): number[] | undefined {
  return values && [...new Uint32Array(values.buffer, values.byteOffset, values.length)];
}
