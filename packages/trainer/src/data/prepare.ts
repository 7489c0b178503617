import { ConfigError, DataError, type ModelConfig } from '@vwn/core';
import { readCorpus, splitCorpus, Tokenizer, trainBpe, type Document } from '@vwn/text';
import { readFile } from 'node:fs/promises';
import type { TrainConfig } from '../train-config';
import type { Tokens } from './batches';

export interface PreparedData {
  readonly train: Tokens;
  readonly heldOut: Tokens;
  /** Absent when the corpus is token files. */
  readonly tokenizer?: Tokenizer;
}

/**
 * Text into tokens: reads the corpus, holds documents out, trains or loads the tokenizer, encodes, with the
 * end-of-text token after each document.
 * @param tokenizerPath a tokenizer that takes precedence over the configured one: that of the weights a run starts from
 * @throws DataError, ConfigError
 */
export async function prepareData(
  { model, data, train }: TrainConfig,
  onProgress: (message: string) => void,
  tokenizerPath?: string,
): Promise<PreparedData> {
  const files = tokenFiles(data.corpus);
  if (files) return prepareTokenFiles(files, data.holdout, model);
  onProgress('reading the corpus');
  const split = splitCorpus(await readCorpus(data.corpus), data.holdout, train.seed);
  const tokenizer = await prepareTokenizer(data.tokenizer, tokenizerPath, split.train, model, onProgress);
  onProgress('encoding the text');
  const encode = (documents: readonly Document[]) => encodeDocuments(documents, tokenizer);
  return { train: encode(split.train), heldOut: encode(split.heldOut), tokenizer };
}

/** The files of a corpus of tokens, which needs no tokenizer; undefined for text. */
export function tokenFiles(corpus: TrainConfig['data']['corpus']): readonly string[] | undefined {
  return Array.isArray(corpus) && corpus.some((file) => file.endsWith('.bin')) ? corpus : undefined;
}

async function prepareTokenizer(
  configured: TrainConfig['data']['tokenizer'],
  path: string | undefined,
  documents: readonly Document[],
  model: ModelConfig,
  onProgress: (message: string) => void,
): Promise<Tokenizer> {
  const existing = path ?? (typeof configured === 'string' ? configured : undefined);
  if (existing === undefined) {
    const vocabSize = typeof configured === 'object' ? configured.vocab_size : model.vocab_size;
    onProgress(`training a tokenizer of ${vocabSize} tokens`);
    return Tokenizer.fromJson(
      trainBpe(
        documents.map(({ text }) => text),
        { vocabSize },
      ),
    );
  }
  const tokenizer = await Tokenizer.load(existing);
  if (tokenizer.vocabSize <= model.vocab_size) return tokenizer;
  throw new ConfigError(`the tokenizer ${existing} has more tokens than the model`, {
    expected: `at most model.vocab_size = ${model.vocab_size}`,
    got: String(tokenizer.vocabSize),
    hint: `Set model.vocab_size: ${tokenizer.vocabSize}`,
  });
}

function encodeDocuments(documents: readonly Document[], tokenizer: Tokenizer): Tokens {
  const parts = documents.map(({ text }) => {
    const ids = tokenizer.encode(text);
    return tokenizer.eosId === undefined ? ids : [...ids, tokenizer.eosId];
  });
  return joinTokens(parts, tokenizer.vocabSize);
}

function joinTokens(parts: readonly ArrayLike<number>[], vocabSize: number): Tokens {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const tokens = vocabSize <= 65536 ? new Uint16Array(length) : new Uint32Array(length);
  let at = 0;
  for (const part of parts) {
    tokens.set(part, at);
    at += part.length;
  }
  return tokens;
}

/** nanoGPT's form: uint16 token ids without a header. The end of the stream is held out. */
async function prepareTokenFiles(files: readonly string[], holdout: number, model: ModelConfig): Promise<PreparedData> {
  const parts: Uint16Array[] = [];
  for (const file of files) parts.push(await readTokenFile(file, model.vocab_size));
  const tokens = joinTokens(parts, 65536) as Uint16Array;
  const cut = Math.floor(tokens.length * (1 - holdout));
  return { train: tokens.subarray(0, cut), heldOut: tokens.subarray(cut) };
}

async function readTokenFile(file: string, vocabSize: number): Promise<Uint16Array> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new DataError(`cannot read ${file}`, { got: cause instanceof Error ? cause.message : String(cause), cause });
  });
  if (bytes.length % 2 !== 0)
    throw new DataError(`${file} is not a file of uint16 tokens`, {
      expected: 'an even number of bytes',
      got: String(bytes.length),
    });
  const tokens = new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const largest = tokens.reduce((a, b) => Math.max(a, b), 0);
  if (largest < vocabSize) return tokens;
  throw new DataError(`${file} holds a token that the model does not have`, {
    expected: `ids below model.vocab_size = ${vocabSize}`,
    got: String(largest),
  });
}
