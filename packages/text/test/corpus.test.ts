import { DataError } from '@vwn/core';
import fc from 'fast-check';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCorpus, splitCorpus } from '../src/index';
import { temporaryFolder } from './support/temporary-folder';

const folder = temporaryFolder();

function write(name: string, content: string | Uint8Array): string {
  const file = join(folder, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
  return file;
}

async function expectDataError(path: string, text: RegExp): Promise<void> {
  await expect(readCorpus([path])).rejects.toThrow(DataError);
  await expect(readCorpus([path])).rejects.toThrow(text);
}

describe('the bundled corpus', () => {
  it('is 233 addresses of 10.8 million characters, in the order of their years', async () => {
    const documents = await readCorpus('sotu');
    const years = documents.map(({ name }) => Number(name.slice(0, 4)));
    expect(documents.length).toBe(233);
    expect(years).toEqual([...years].sort((a, b) => a - b));
    expect([years[0], years.at(-1)]).toEqual([1790, 2021]);
    expect(documents.reduce((sum, { text }) => sum + text.length, 0)).toBe(10_760_042);
    expect(documents[0]?.text).toMatch(/^Fellow-Citizens of the Senate and House of Representatives/);
  });
});

describe('the user’s own corpus', () => {
  it('is files in the order given, and folders in the order of their paths, with subfolders', async () => {
    write('a/z.md', 'zed');
    write('a/b/c.txt', 'see');
    write('a/B.TXT', 'bee');
    write('a/skipped.json', '{}');
    const single = write('single', 'one');
    expect(await readCorpus([single, join(folder, 'a')])).toEqual([
      { name: 'single', text: 'one' },
      { name: 'B.TXT', text: 'bee' },
      { name: 'b/c.txt', text: 'see' },
      { name: 'z.md', text: 'zed' },
    ]);
  });

  it('has a document a line in JSONL, without empty ones', async () => {
    const file = write('lines.jsonl', '{"text":"a\\nb","meta":1}\r\n\n{"text":""}\n{"text":"ü"}');
    expect(await readCorpus([file])).toEqual([
      { name: 'lines.jsonl:1', text: 'a\nb' },
      { name: 'lines.jsonl:4', text: 'ü' },
    ]);
  });

  it('may have more documents than a call takes arguments', async () => {
    const file = write('many.jsonl', '{"text":"a"}\n'.repeat(200_000));
    expect(await readCorpus([file])).toHaveLength(200_000);
    expect(await readCorpus([join(file, '..', 'many.jsonl'), file])).toHaveLength(400_000);
  });

  it('without a byte-order mark', async () => {
    expect(await readCorpus([write('bom.txt', '\uFEFFtext')])).toEqual([{ name: 'bom.txt', text: 'text' }]);
  });

  it('that is missing, empty or not UTF-8 is refused with its name', async () => {
    await expectDataError(join(folder, 'none.txt'), /no file or folder .*none\.txt.*relative to the current folder/);
    await expectDataError(write('empty.txt', ''), /empty\.txt holds no text: expected a file that is not empty/);
    mkdirSync(join(folder, 'hollow'));
    await expectDataError(join(folder, 'hollow'), /hollow holds no text: expected \.txt, \.md or \.jsonl/);
    await expectDataError(write('latin.txt', Uint8Array.of(0x66, 0xfc, 0x72)), /latin\.txt is not UTF-8 text.*iconv/);
    await expect(readCorpus([])).rejects.toThrow(/the corpus is empty.*Name \.txt/);
  });

  it('whose JSONL is broken is refused with file and line', async () => {
    await expectDataError(write('bad.jsonl', '{"text":"a"}\n{"text":'), /bad\.jsonl:2 is not JSON/);
    await expectDataError(write('no.jsonl', '{"content":"a"}'), /no\.jsonl:1 has no text: expected .*"text"/);
    await expectDataError(write('null.jsonl', 'null'), /null\.jsonl:1 has no text/);
  });
});

describe('the held-out split', () => {
  const corpus = fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), { minLength: 2, maxLength: 20 });
  const fraction = fc.double({ min: 0.01, max: 0.9, noNaN: true });

  it('gives every character to exactly one side, in order, cuts one document at most, and leaves no side empty', () => {
    fc.assert(
      fc.property(corpus, fraction, fc.integer(), (texts, part, seed) => {
        const documents = texts.map((text, i) => ({ name: String(i), text }));
        const { train, heldOut } = splitCorpus(documents, part, seed);
        const parts = (name: string) => [...train, ...heldOut].filter((each) => each.name === name);
        for (const { name, text } of documents) expect(parts(name).map((each) => each.text).join('')).toBe(text); // prettier-ignore
        expect(train.length + heldOut.length).toBeLessThanOrEqual(documents.length + 1);
        for (const side of [train, heldOut]) {
          const order = side.map(({ name }) => Number(name));
          expect(order).toEqual([...order].sort((a, b) => a - b));
          expect(side.length).toBeGreaterThan(0);
          expect(side.every(({ text }) => text.length > 0)).toBe(true);
        }
      }),
    );
  });

  it('holds out about the asked part where documents are few and of very different sizes, whatever the seed', () => {
    const sizes = [40_000, 3_000];
    const documents = sizes.map((size, i) => ({ name: String(i), text: 'x'.repeat(size) }));
    for (let seed = 0; seed < 40; seed++)
      for (const part of [0.02, 0.3, 0.5, 0.95]) {
        const share = length(splitCorpus(documents, part, seed).heldOut) / 43_000;
        expect(share).toBeGreaterThan(part - 0.001);
        expect(share).toBeLessThan(Math.min(2 * part, (1 + part) / 2) + 0.001);
      }
  });

  it('cuts a document to the character that was asked for', () => {
    for (let size = 20; size < 60; size++)
      for (let wanted = 1; wanted < size / 3; wanted++) {
        const documents = [size - 1, 1].map((count) => ({ name: String(count), text: 'x'.repeat(count) }));
        const { train, heldOut } = splitCorpus(documents, wanted / size, wanted);
        expect([length(train), length(heldOut)]).toEqual([size - wanted, wanted]);
      }
  });

  it('holds out whole documents only, where they are many', async () => {
    const documents = await readCorpus('sotu');
    for (const seed of [0, 1, 2, 3]) {
      const { train, heldOut } = splitCorpus(documents, 0.05, seed);
      expect(train.length + heldOut.length).toBe(documents.length);
    }
  });

  it('holds out about the asked part of the text, the same for the same seed and another for another', async () => {
    const documents = await readCorpus('sotu');
    const { heldOut } = splitCorpus(documents, 0.05, 1);
    expect(length(heldOut) / length(documents)).toBeGreaterThan(0.05);
    expect(length(heldOut) / length(documents)).toBeLessThan(0.08);
    expect(splitCorpus(documents, 0.05, 1).heldOut).toEqual(heldOut);
    expect(splitCorpus(documents, 0.05, 2).heldOut).not.toEqual(heldOut);
  });

  it('cuts a single document at its end, never within a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 2, maxLength: 30 }), fraction, (text, part) => {
        const { train, heldOut } = splitCorpus([{ name: 'a', text }], part, 0);
        const [start = '', end = ''] = [train[0]?.text, heldOut[0]?.text];
        expect(start + end).toBe(text);
        expect([...start, ...end]).toEqual([...text]);
      }),
    );
  });

  it('holds nothing out for 0, and refuses fractions that leave nothing to train on', () => {
    const documents = [{ name: 'a', text: 'abc' }];
    expect(splitCorpus(documents, 0, 0)).toEqual({ train: documents, heldOut: [] });
    for (const wrong of [1, 2, -0.1, Number.NaN])
      expect(() => splitCorpus(documents, wrong, 0)).toThrow(/0 ≤ fraction/);
  });
});

function length(list: { text: string }[]): number {
  return list.reduce((sum, { text }) => sum + text.length, 0);
}
