import '@tensorflow/tfjs-backend-cpu';
import { memory, setBackend } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeRequest, logLikelihoods, rollingLogLikelihood } from '../src/index';
import { characterTokenizer, contextualModel, fakeModel } from './support/fake-model';

beforeAll(() => setBackend('cpu'));

/** Two characters a token wherever they can be paired: what a context ends with changes what follows. */
const pairTokenizer = {
  encode: (text: string) => (text.match(/.{1,2}/gsu) ?? []).map((pair) => pair.charCodeAt(0) % 128),
  decode: () => '',
};

describe('encodeRequest', () => {
  const { encode } = characterTokenizer;

  it('moves whitespace at the end of the context to the continuation', () => {
    const request = { context: 'ab \n', continuation: 'cd' };
    expect(encodeRequest(request, characterTokenizer)).toEqual({
      context: encode('ab'),
      continuation: encode(' \ncd'),
    });
  });

  it('encodes both as one text and takes as context as many tokens as the context alone has', () => {
    // alone "abc" is ab|c; with "def" after it ab|cd|ef
    expect(encodeRequest({ context: 'abc', continuation: 'def' }, pairTokenizer)).toEqual({
      context: [97, 99],
      continuation: [101],
    });
  });

  it('puts BOS, else EOS, before a continuation without context, and takes it from the continuation if it is there', () => {
    const request = { context: '', continuation: 'ab' };
    expect(encodeRequest(request, characterTokenizer)).toEqual({ context: [0], continuation: encode('ab') });
    expect(encodeRequest(request, { ...characterTokenizer, bosId: 97 })).toEqual({ context: [97], continuation: [98] });
  });

  it('begins contexts with BOS only when asked to', () => {
    const request = { context: 'a', continuation: 'b' };
    const tokenizer = { ...characterTokenizer, bosId: 1 };
    expect(encodeRequest(request, tokenizer).context).toEqual([97]);
    expect(encodeRequest(request, tokenizer, { addBosToken: true }).context).toEqual([1, 97]);
  });

  it('says when nothing is left to predict', () => {
    expect(() => encodeRequest({ context: 'abc', continuation: 'd' }, pairTokenizer)).toThrow(
      'a continuation has no tokens of its own: expected text that adds at least one token to its context, got "d" after "abc"',
    );
    expect(() => encodeRequest({ context: '', continuation: '' }, pairTokenizer)).toThrow('nothing to stand after');
  });
});

describe('logLikelihoods', () => {
  it('sums the continuation alone and says whether greedy decoding would write it', async () => {
    const successor = fakeModel((next, seen) => (next === (seen.at(-1) ?? 0) + 1 ? 1 / 2 : 1 / 254));
    const requests = [
      { context: 'za', continuation: 'bcd' },
      { context: 'za', continuation: 'bbd' },
    ];
    const [right, wrong] = await logLikelihoods(successor, characterTokenizer, requests);
    expect(right?.logprob).toBeCloseTo(3 * Math.log(1 / 2), 5);
    expect(right?.isGreedy).toBe(true);
    expect(wrong?.logprob).toBeCloseTo(Math.log(1 / 2) + 2 * Math.log(1 / 254), 4);
    expect(wrong?.isGreedy).toBe(false);
    const [quick] = await logLikelihoods(successor, characterTokenizer, requests, { greedy: false });
    expect(quick).toEqual({ logprob: right?.logprob });
  });

  it('batched equals one by one, in the order asked, for any requests and batch size', async () => {
    const text = (min: number) =>
      fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), minLength: min, maxLength: 9 }).map((each) => `${each}x`);
    const requests = fc.array(fc.record({ context: text(0), continuation: text(1) }), { minLength: 1, maxLength: 7 });
    const model = contextualModel({ maxLength: 16 });
    await fc.assert(
      fc.asyncProperty(requests, fc.integer({ min: 1, max: 4 }), async (all, batchSize) => {
        const batched = await logLikelihoods(model, characterTokenizer, all, { batchSize });
        for (const [i, request] of all.entries())
          expect([batched[i]]).toEqual(await logLikelihoods(model, characterTokenizer, [request]));
      }),
      { numRuns: 25 },
    );
  });

  it('runs the longest first, in batches of the size asked for, and reports progress', async () => {
    const shapes: string[] = [];
    const progress: number[][] = [];
    const model = contextualModel({ onBatch: (ids) => shapes.push(`${ids.length}x${ids[0]?.length}`) });
    const requests = ['a', 'aaaaa', 'aa', 'aaa'].map((context) => ({ context, continuation: 'b' }));
    await logLikelihoods(model, characterTokenizer, requests, {
      batchSize: 3,
      greedy: false,
      onProgress: (...each) => progress.push(each),
    });
    expect(shapes).toEqual(['3x6', '1x2']);
    expect(progress).toEqual([
      [3, 4],
      [4, 4],
    ]);
  });

  it('cuts what is too long at its left', async () => {
    const long = { context: 'abcdefghij', continuation: 'klm' };
    const short = { context: 'ij', continuation: 'klm' };
    const model = contextualModel({ maxLength: 4 });
    const [cut] = await logLikelihoods(model, characterTokenizer, [long]);
    expect([cut]).toEqual(await logLikelihoods(model, characterTokenizer, [short]));
  });

  it('refuses a continuation that the model cannot read whole', async () => {
    const request = { context: 'a', continuation: 'bcdef' };
    await expect(logLikelihoods(contextualModel({ maxLength: 4 }), characterTokenizer, [request])).rejects.toThrow(
      'a continuation is longer than the model reads: expected at most 4 tokens, got 5: "bcdef"',
    );
  });

  it('refuses a batch size that is not a whole number above 0', async () => {
    const asked = logLikelihoods(contextualModel(), characterTokenizer, [{ context: 'a', continuation: 'b' }], {
      batchSize: 0,
    });
    await expect(asked).rejects.toThrow('the batch size is wrong: expected a whole number of at least 1, got 0');
  });

  it('leaves no tensor behind', async () => {
    const before = memory().numTensors;
    await logLikelihoods(contextualModel(), characterTokenizer, [{ context: 'a', continuation: 'b' }]);
    expect(memory().numTensors).toBe(before);
  });
});

describe('rollingLogLikelihood', () => {
  it('needs a token to stand before the text', async () => {
    await expect(rollingLogLikelihood(contextualModel(), pairTokenizer, 'ab')).rejects.toThrow(
      'the tokenizer has neither a BOS nor an EOS token',
    );
  });
});
