import { ConfigError, type Rng, ShapeError } from '@vwn/core';
import { dispose, tidy } from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../language-model';
import { sampleToken, type SamplingOptions } from './sampling';

export interface GenerateOptions extends SamplingOptions {
  /** How many tokens to add at most. */
  readonly maxTokens: number;
  readonly rng: Rng;
  /** Generation ends before yielding one of these (an end-of-text id). */
  readonly stopIds?: readonly number[];
}

/**
 * Continues a sequence of token ids, yielding each new id as it is drawn. Keys and values are cached, so a new token
 * costs one position; when the model's `max_position_embeddings` are used up, the cache is rebuilt from the later
 * half of the sequence.
 *
 * @throws ShapeError for an empty prompt: there is nothing to condition on; and for ids out of the vocabulary;
 *   ConfigError for options that cannot be; NumericsError for weights that give NaN
 */
export async function* generate(
  model: LanguageModel,
  prompt: readonly number[],
  options: GenerateOptions,
): AsyncGenerator<number, void, undefined> {
  if (prompt.length === 0)
    throw new ShapeError('generate: the prompt is empty', {
      expected: 'at least one token id',
      got: '0',
      hint: 'Start from the end-of-text token to sample from scratch',
    });
  if (!(options.maxTokens >= 0))
    throw new ConfigError('generate: maxTokens is no number of tokens', {
      expected: 'a number of at least 0',
      got: String(options.maxTokens),
    });
  const limit = model.config.max_position_embeddings;
  const ids = [...prompt];
  let cache = model.newCache();
  try {
    let pending = ids.slice(-limit);
    for (let made = 0; made < options.maxTokens; made++) {
      if (cache.length + pending.length > limit) {
        cache.dispose();
        cache = model.newCache();
        pending = ids.slice(-Math.max(1, Math.floor(limit / 2)));
      }
      const next = sampleToken(await lastLogits(model, pending, cache), options, options.rng);
      if (options.stopIds?.includes(next)) return;
      ids.push(next);
      pending = [next];
      yield next;
    }
  } finally {
    cache.dispose();
  }
}

async function lastLogits(
  model: LanguageModel,
  pending: readonly number[],
  cache: ReturnType<LanguageModel['newCache']>,
): Promise<Float32Array> {
  const row = tidy(() => model.lastLogits([pending], cache));
  const values = (await row.data()) as Float32Array;
  dispose(row);
  return values;
}
