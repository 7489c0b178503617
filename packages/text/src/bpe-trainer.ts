import { DataError } from '@vwn/core';
import { MergeCounter } from './bpe-merges';
import { byteCharacters, wordPattern } from './bytes';

/** The parts of Hugging Face's tokenizer.json that a byte-level BPE fills. */
export interface TokenizerJson {
  readonly version: string;
  readonly added_tokens: readonly Record<string, unknown>[];
  readonly model: {
    readonly type: string;
    readonly vocab: Record<string, number>;
    readonly merges: unknown;
    [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

export interface TrainBpeOptions {
  /** Tokens in all: the end-of-text token, 256 bytes, and one for each merge. */
  readonly vocabSize: number;
  /** Pairs that occur less often are not merged. */
  readonly minFrequency?: number;
  readonly onProgress?: (tokens: number, wanted: number) => void;
}

/** Stands between documents, as in GPT-2. */
export const endOfText = '<|endoftext|>';

/** Token 0 is the end of text; then the bytes, in the order of the characters that stand for them. */
const firstTokens: readonly string[] = [endOfText, ...[...byteCharacters].sort()];
const tokenOfByte = byteCharacters.map((character) => firstTokens.indexOf(character));

/**
 * Trains a byte-level BPE tokenizer on texts and returns it as Hugging Face's tokenizer.json: token for token the one
 * that their BpeTrainer makes, with ties given to the pair of lower ids.
 * @throws DataError when the vocabulary cannot hold the bytes
 */
export function trainBpe(texts: Iterable<string>, options: TrainBpeOptions): TokenizerJson {
  const { vocabSize, minFrequency = 2, onProgress } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < firstTokens.length)
    throw new DataError('the vocabulary is too small for a byte-level tokenizer', {
      expected: `at least ${firstTokens.length} tokens: ${endOfText} and 256 bytes`,
      got: String(vocabSize),
    });
  const tokens = [...firstTokens];
  const merges: [string, string][] = [];
  const counter = new MergeCounter(countWords(texts));
  while (tokens.length < vocabSize) {
    const merge = counter.best(minFrequency);
    if (!merge) break;
    const pair: [string, string] = [tokens[merge.left] as string, tokens[merge.right] as string];
    counter.apply(merge, tokens.length);
    merges.push(pair);
    // Always a new string: what no merge crosses is cut the same way wherever it stands.
    tokens.push(pair.join(''));
    if (tokens.length % 256 === 0) onProgress?.(tokens.length, vocabSize);
  }
  onProgress?.(tokens.length, vocabSize);
  return tokenizerJson(tokens, merges);
}

/** Distinct words of the texts, as symbols (token ids of their bytes), with how often they occur. */
function countWords(texts: Iterable<string>): { symbols: number[]; count: number }[] {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const part of text.split(endOfText))
      for (const [word] of part.matchAll(wordPattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const encoder = new TextEncoder();
  const symbolsOf = (word: string) => Array.from(encoder.encode(word), (byte) => tokenOfByte[byte] as number);
  return [...counts].map(([word, count]) => ({ symbols: symbolsOf(word), count }));
}

function tokenizerJson(tokens: readonly string[], merges: [string, string][]): TokenizerJson {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ id: 0, content: endOfText, ...flags }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: { ...byteLevel, add_prefix_space: true }, // no meaning in a decoder; the value that others write
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
