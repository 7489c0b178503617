import { DataError } from '@vwn/core';
import type { TokenizerJson } from './bpe-trainer';

export type Json = Record<string, unknown>;

/** What @huggingface/tokenizers runs; of other types it silently makes something else. */
const modelTypes = ['BPE', 'WordPiece', 'Unigram'];

export function isObject(value: unknown): value is Json {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/**
 * A tokenizer.json, with the fields that older files leave out.
 * @throws DataError naming what is missing
 */
export function checkTokenizerJson(json: unknown, source: string): TokenizerJson {
  const { model, added_tokens: added } = isObject(json) ? json : {};
  if (!isObject(model) || typeof model.type !== 'string')
    throw notATokenizer(source, 'Hugging Face’s tokenizer.json, with a "model" of a "type"');
  if (!modelTypes.includes(model.type))
    throw new DataError(`${source} cannot be used as a tokenizer`, {
      expected: `a model of type ${modelTypes.join(', ')}`,
      got: model.type,
      hint: 'Use a checkpoint with another tokenizer, or token ids (--ids)',
    });
  if (!isObject(model.vocab) && !Array.isArray(model.vocab)) throw notATokenizer(source, 'a "vocab" in its "model"');
  if (model.type === 'BPE' && !Array.isArray(model.merges)) throw notATokenizer(source, '"merges" in its "model"');
  const tokens = added ?? [];
  if (!Array.isArray(tokens) || !tokens.every((each) => isObject(each) && typeof each.content === 'string'))
    throw notATokenizer(source, 'a list of "added_tokens", each with its "content"');
  const absent = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  return { ...absent, ...(json as Json), added_tokens: tokens } as unknown as TokenizerJson;
}

function notATokenizer(source: string, expected: string): DataError {
  return new DataError(`${source} is not a tokenizer`, {
    expected,
    hint: 'Copy tokenizer.json from the checkpoint that the model came from',
  });
}

/** Whether text becomes words by GPT-2's pattern and nothing else happens to it on the way. */
export function splitsWordsLikeGpt2({ normalizer, pre_tokenizer: pre, added_tokens }: TokenizerJson): boolean {
  return (
    normalizer == null &&
    isObject(pre) &&
    pre.type === 'ByteLevel' &&
    pre.use_regex !== false &&
    pre.add_prefix_space === false &&
    added_tokens.every(({ single_word, lstrip, rstrip }) => !single_word && !lstrip && !rstrip)
  );
}

/** −1 without any token. */
export function largestId({ model, added_tokens }: TokenizerJson): number {
  const vocab: unknown = model.vocab;
  let largest = Array.isArray(vocab) ? vocab.length - 1 : -1;
  if (!Array.isArray(vocab)) for (const id of Object.values(model.vocab)) largest = Math.max(largest, id);
  for (const { id } of added_tokens) if (typeof id === 'number') largest = Math.max(largest, id);
  return largest;
}
