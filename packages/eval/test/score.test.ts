import '@tensorflow/tfjs-backend-cpu';
import { memory, ones, scalar, setBackend } from '@tensorflow/tfjs-core';
import { parseModelConfig } from '@vwn/core';
import { LanguageModel } from '@vwn/layers';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { rollingWindows, scoreIds, scoreText, type ScoringModel } from '../src/index';
import { characterTokenizer, contextualModel, fakeModel } from './support/fake-model';

beforeAll(() => setBackend('cpu'));

/** Probability 1/2 for the id after the last one seen, the rest spread over the other 127. */
const successor = fakeModel((next, seen) => (next === ((seen.at(-1) ?? 0) + 1) % 128 ? 1 / 2 : 1 / 254));

describe('scoreIds', () => {
  it('gives the exact loss, perplexity and log-probabilities of known probabilities', async () => {
    const score = await scoreIds(successor, [
      [5, 6, 7, 9],
      [1, 2],
    ]);
    const [half, other] = [Math.log(1 / 2), Math.log(1 / 254)];
    expect(score.logprobs.map((row) => row.length)).toEqual([3, 1]);
    [half, half, other].forEach((value, t) => expect(score.logprobs[0]?.[t]).toBeCloseTo(value, 5));
    expect(score.logprobs[1]?.[0]).toBeCloseTo(half, 5);
    expect(score.loss).toBeCloseTo(-(3 * half + other) / 4, 5);
    expect(score.perplexity).toBeCloseTo(Math.exp(score.loss), 10);
    expect(score.tokens).toBe(4);
    expect(score.bits_per_byte).toBeUndefined();
    expect(score.mtp_losses).toBeUndefined();
  });

  it('counts the bytes of what was predicted when it has a tokenizer', async () => {
    const { bits_per_byte: bits } = await scoreIds(successor, [[97, 98, 99]], { tokenizer: characterTokenizer });
    expect(bits).toBeCloseTo(1, 5);
  });

  it('says which sequence is too short, and that there must be one', async () => {
    await expect(scoreIds(successor, [[1, 2], [3]])).rejects.toThrow(
      'sequence 1 is too short to be scored: expected at least two tokens: the first is given, the others are predicted, got 1',
    );
    await expect(scoreIds(successor, [])).rejects.toThrow('there are no token ids to score');
  });

  it('says which id is not in the vocabulary', async () => {
    await expect(scoreIds(successor, [[1, 128]])).rejects.toThrow(
      'holds a token that is not in the vocabulary (position 1): expected a whole number from 0 to 127, got 128',
    );
  });

  it('takes more sequences than a function takes arguments, however many at once', async () => {
    const ids = Array.from({ length: 200_000 }, (_, i) => [i % 128, (i + 1) % 128]);
    const model: ScoringModel = { ...successor, tokenLosses: (rows) => ones([rows.length, 1]) };
    for (const options of [{}, { batchSize: ids.length }]) {
      const { tokens, loss } = await scoreIds(model, ids, options);
      expect({ tokens, loss }).toEqual({ tokens: 200_000, loss: 1 });
    }
  });

  it('refuses a model that gives NaN', async () => {
    await expect(
      scoreIds(
        fakeModel(() => Number.NaN),
        [[1, 2]],
      ),
    ).rejects.toThrow('not finite: got NaN');
  });

  it('scores a long sequence token by token as if each window were scored alone', async () => {
    const model = contextualModel({ maxLength: 5 });
    const ids = Array.from({ length: 13 }, (_, i) => (i * 7) % 128);
    const { logprobs } = await scoreIds(model, [ids]);
    const roomy = contextualModel();
    for (const { start, end, predictFrom } of rollingWindows(13, 5)) {
      const [alone] = (await scoreIds(roomy, [ids.slice(start, end)])).logprobs;
      const expected = alone?.slice(predictFrom - start - 1);
      expect(logprobs[0]?.slice(predictFrom - 1, end - 1)).toEqual(expected);
    }
  });
});

describe('rollingWindows', () => {
  it('are those of lm-evaluation-harness: stride of the context, one token before, a full last window', () => {
    expect(rollingWindows(11, 4)).toEqual([
      { start: 0, end: 5, predictFrom: 1 },
      { start: 4, end: 9, predictFrom: 5 },
      { start: 6, end: 11, predictFrom: 9 },
    ]);
  });

  it('predict every token but the first once, from at least one token and at most the context', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 200 }), fc.integer({ min: 1, max: 40 }), (length, maxLength) => {
        const windows = rollingWindows(length, maxLength);
        const predicted = windows.flatMap(({ predictFrom, end }) =>
          Array.from({ length: end - predictFrom }, (_, i) => predictFrom + i),
        );
        expect(predicted).toEqual(Array.from({ length: length - 1 }, (_, i) => i + 1));
        for (const { start, end, predictFrom } of windows) {
          expect(start).toBeLessThan(predictFrom);
          expect(end - 1 - start).toBeLessThanOrEqual(maxLength);
        }
      }),
    );
  });
});

describe('scoreText', () => {
  it('predicts the first token from BOS, else EOS, and counts every byte', async () => {
    const tokenizer = { ...characterTokenizer, eosId: 96 };
    const score = await scoreText(successor, tokenizer, 'abc');
    expect(score.ids).toEqual([[96, 97, 98, 99]]);
    expect(score.bits_per_byte).toBeCloseTo(1, 5);
    const withBos = await scoreText(successor, { ...tokenizer, bosId: 1 }, 'abc');
    expect(withBos.ids[0]?.[0]).toBe(1);
  });

  it('takes the first token as given where nothing can stand before it', async () => {
    const { encode, decode } = characterTokenizer;
    const score = await scoreText(successor, { encode, decode }, 'abc');
    expect(score.tokens).toBe(2);
    expect(score.bits_per_byte).toBeCloseTo(1, 5);
  });

  it('refuses an empty text', async () => {
    await expect(scoreText(successor, characterTokenizer, '')).rejects.toThrow('the text is empty');
  });
});

describe('multi-token heads', () => {
  it('are averaged over positions, not over stretches', async () => {
    const stretches: number[] = [];
    const model: ScoringModel = {
      ...successor,
      maxLength: 4,
      multiToken: {
        depth: 2,
        losses: ([row = []]) => {
          stretches.push(row.length - 3);
          return [scalar(row.length), scalar(10)];
        },
      },
    };
    // ten tokens have seven positions whose next-3-token is known: a full stretch of four and three more
    const { mtp_losses: losses } = await scoreIds(model, [Array.from({ length: 10 }, (_, i) => i)]);
    expect(stretches).toEqual([4, 3]);
    expect(losses?.[0]).toBeCloseTo((7 * 4 + 6 * 3) / 7, 5);
    expect(losses?.[1]).toBe(10);
  });
});

describe('a language model of @vwn/layers', () => {
  const config = parseModelConfig({
    vocab_size: 32,
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 16,
    num_nextn_predict_layers: 1,
    virtual_width: { m: 2, n: 4 },
  });

  it('is scored as its own losses say, with its multi-token loss, and leaves no tensor behind', async () => {
    const model = new LanguageModel(config, { seed: 1 });
    const ids = [Array.from({ length: 12 }, (_, i) => (i * 5) % 32)];
    const before = memory().numTensors;
    const score = await scoreIds(model, ids);
    expect(memory().numTensors).toBe(before);
    const losses = model.tokenLosses(ids).dataSync();
    losses.forEach((loss, t) => expect(score.logprobs[0]?.[t]).toBeCloseTo(-loss, 5));
    expect(score.mtp_losses?.[0]).toBeCloseTo(model.loss(ids).losses[1]?.dataSync()[0] ?? 0, 5);
  });
});
