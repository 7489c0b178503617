import { DataError, StorageError } from '@vwn/core';
import fc from 'fast-check';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Tokenizer } from '../src/index';
import { checkTokenizerJson, largestId } from '../src/tokenizer-json';
import { temporaryFolder } from './support/temporary-folder';

const folder = temporaryFolder();
const fixtures = new URL('./fixtures/', import.meta.url).pathname;
const kinds = ['gpt2', 'llama3', 'mixtral'];
const readJson = (name: string) => JSON.parse(readFileSync(fixtures + name, 'utf8'));

describe.each(kinds)('a tokenizer.json of the kind of %s', (kind) => {
  const expected: { text: string; ids: number[]; decoded: string }[] = readJson(`${kind}/expected.json`);

  it.each(expected)('$text: ids and text are those of Hugging Face’s tokenizers', async ({ text, ids, decoded }) => {
    const tokenizer = await Tokenizer.load(fixtures + kind);
    expect(tokenizer.encode(text)).toEqual(ids);
    // @huggingface/tokenizers drops a byte-order mark that begins a run of byte tokens.
    expect(tokenizer.decode(ids)).toBe(kind === 'mixtral' ? decoded.replace(/(?<!\uFEFF)\uFEFF/g, '') : decoded);
  });

  it('streams any ids to the text that they decode to, and never half a character', async () => {
    const tokenizer = await Tokenizer.load(fixtures + kind);
    const id = fc.integer({ min: 0, max: tokenizer.vocabSize - 1 });
    fc.assert(
      fc.property(fc.array(id, { maxLength: 40 }), (ids) => {
        const stream = tokenizer.streamDecoder();
        const parts = [...ids.map((each) => stream.push(each)), stream.end()];
        expect(parts.join('')).toBe(tokenizer.decode(ids));
        for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u);
      }),
      { numRuns: 300 },
    );
  });

  it('streams text without ever showing a broken character', async () => {
    const tokenizer = await Tokenizer.load(fixtures + kind);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 20 }), (text) => {
        const stream = tokenizer.streamDecoder();
        const shown = tokenizer
          .encode(text)
          .map((id) => stream.push(id))
          .join('');
        const held = stream.end();
        expect(shown + held).toBe(text);
        // A text may itself end in what a decoder shows for an unfinished character.
        expect(held).toBe(/\uFFFD{0,3}$/.exec(text)?.[0]);
      }),
      { numRuns: 200, examples: [['\uFFFD'], ['\uFFFDb'], ['a\uFFFD\uFFFD\uFFFD\uFFFD']] },
    );
  });
});

describe('the stream decoder', () => {
  it('shows a character once its last byte has come, and an unfinished one at the end', async () => {
    const tokenizer = await Tokenizer.load(`${fixtures}gpt2`);
    const stream = tokenizer.streamDecoder();
    const ids = tokenizer.encode('a𐍈b');
    expect(ids.map((id) => stream.push(id))).toEqual(['a', '', '', '', '𐍈', 'b']);
    expect(ids.slice(1, 3).map((id) => stream.push(id))).toEqual(['', '']);
    expect(stream.end()).toBe('\uFFFD');
    expect(ids.slice(0, 1).map((id) => stream.push(id))).toEqual(['a']);
  });
});

describe('a tokenizer', () => {
  it('knows its size, and its end from tokenizer_config.json or by its usual name', async () => {
    const gpt2 = await Tokenizer.load(`${fixtures}gpt2/tokenizer.json`);
    expect([gpt2.vocabSize, gpt2.eosId, gpt2.bosId]).toEqual([362, 0, undefined]);
    const config = { bos_token: '<|begin_of_text|>', eos_token: { content: '<|eot_id|>' } };
    const llama = Tokenizer.fromJson(readJson('llama3/tokenizer.json'), config);
    const { vocabSize } = llama;
    expect([llama.bosId, llama.eosId]).toEqual([vocabSize - 3, vocabSize - 1]);
  });

  it('is saved and loaded with its tokenizer_config.json', async () => {
    const dir = join(folder, 'saved');
    const tokenizer = Tokenizer.fromJson(readJson('llama3/tokenizer.json'), { eos_token: '<|eot_id|>' });
    await tokenizer.save(dir);
    expect(readdirSync(dir).sort()).toEqual(['tokenizer.json', 'tokenizer_config.json']);
    expect(JSON.parse(readFileSync(join(dir, 'tokenizer.json'), 'utf8'))).toEqual(readJson('llama3/tokenizer.json'));
    const loaded = await Tokenizer.load(dir);
    expect(loaded.eosId).toBe(tokenizer.eosId);
    expect(loaded.encode('What we’ve said')).toEqual(tokenizer.encode('What we’ve said'));
    writeFileSync(join(folder, 'file'), '');
    await expect(tokenizer.save(join(folder, 'file'))).rejects.toThrow(StorageError);
  });

  it('may have more tokens than a function takes arguments', () => {
    const vocab = Object.fromEntries(Array.from({ length: 300_000 }, (_, id) => [`token ${id}`, id]));
    expect(largestId(checkTokenizerJson({ model: { type: 'BPE', vocab, merges: [] } }, ''))).toBe(299_999);
  });

  it('decodes ids beyond its vocabulary, which a padded model may give, to nothing', async () => {
    const tokenizer = await Tokenizer.load(`${fixtures}gpt2`);
    expect(tokenizer.decode([tokenizer.vocabSize + 5, ...tokenizer.encode('ok'), 99_999])).toBe('ok');
    expect(tokenizer.decode([99_999])).toBe('');
  });

  it('encodes the bundled corpus’s kind of text at more than 300 000 characters a second', async () => {
    const tokenizer = await Tokenizer.load(`${fixtures}gpt2`);
    const text = (readJson('training-text.json') as string[]).join(' ').repeat(1000);
    const started = performance.now();
    tokenizer.encode(text);
    expect(text.length / (performance.now() - started)).toBeGreaterThan(300);
  });
});

describe('a tokenizer file that is not whole', () => {
  const whole = readFileSync(`${fixtures}gpt2/tokenizer.json`, 'utf8').trimEnd();

  it('cut off anywhere is refused with its name and what to do', async () => {
    const file = join(folder, 'cut.json');
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 1 }), async (length) => {
        writeFileSync(file, whole.slice(0, length));
        await expect(Tokenizer.load(file)).rejects.toThrow(DataError);
        await expect(Tokenizer.load(file)).rejects.toThrow(/cut\.json is not valid JSON.*copy or download it again/);
      }),
      { numRuns: 40 },
    );
  });

  it.each<[string, unknown, RegExp]>([
    ['a list', [], /expected Hugging Face’s tokenizer\.json, with a "model" of a "type"/],
    ['null', null, /with a "model"/],
    ['no vocabulary', { model: { type: 'BPE', merges: [] } }, /a "vocab" in its "model"/],
    ['no merges', { model: { type: 'BPE', vocab: {} } }, /"merges" in its "model"/],
    ['broken added tokens', { model: { type: 'BPE', vocab: {}, merges: [] }, added_tokens: [3] }, /"added_tokens"/],
    [
      'an unknown model',
      { model: { type: 'Bark', vocab: {} } },
      /expected a model of type BPE, WordPiece, Unigram, got Bark/,
    ],
  ])('with %s is refused', async (_, json, text) => {
    const file = join(folder, 'wrong.json');
    writeFileSync(file, JSON.stringify(json));
    await expect(Tokenizer.load(file)).rejects.toThrow(DataError);
    await expect(Tokenizer.load(file)).rejects.toThrow(text);
    await expect(Tokenizer.load(file)).rejects.toThrow(/wrong\.json/);
  });

  it('that is missing says that ids need none; a broken tokenizer_config.json is named', async () => {
    await expect(Tokenizer.load(join(folder, 'none'))).rejects.toThrow(/cannot read .*none.*--ids/);
    const dir = join(folder, 'config');
    mkdirSync(dir);
    cpSync(`${fixtures}gpt2/tokenizer.json`, join(dir, 'tokenizer.json'));
    for (const [content, text] of [
      ['{', /tokenizer_config\.json is not valid JSON/],
      ['null', /tokenizer_config\.json is not a JSON object/],
    ] as const) {
      writeFileSync(join(dir, 'tokenizer_config.json'), content);
      await expect(Tokenizer.load(dir)).rejects.toThrow(text);
    }
  });
});
