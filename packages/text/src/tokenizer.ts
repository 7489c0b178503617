import { DataError, StorageError } from '@vwn/core';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TokenizerJson } from './bpe-trainer';
import { StreamDecoder } from './stream-decoder';
import { checkTokenizerJson, isObject, largestId, splitsWordsLikeGpt2, type Json } from './tokenizer-json';
import { WordEncoder } from './word-encoder';

const fileName = 'tokenizer.json';
const configName = 'tokenizer_config.json';
/** Names that an end-of-text token goes by when no tokenizer_config.json tells. */
const usualEndTokens = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>'];
const remedy = 'The file is damaged or was not copied completely; copy or download it again';

/** A tokenizer of Hugging Face's tokenizer.json, run by @huggingface/tokenizers. */
export class Tokenizer {
  /** Number of ids, added tokens included: one more than the largest. */
  readonly vocabSize: number;
  /** Ends a text and separates documents; undefined when the tokenizer has none. */
  readonly eosId: number | undefined;
  readonly bosId: number | undefined;
  private readonly inner: HuggingFaceTokenizer;
  private readonly words: WordEncoder | undefined;

  private constructor(
    private readonly json: TokenizerJson,
    private readonly config: Json,
  ) {
    const byWord = splitsWordsLikeGpt2(json);
    this.inner = new HuggingFaceTokenizer(
      byWord ? { ...json, pre_tokenizer: { ...(json.pre_tokenizer as Json), use_regex: false } } : json,
      config,
    );
    if (byWord)
      this.words = new WordEncoder(
        { encode: (word) => this.encodeWhole(word), tokenId: (content) => this.inner.token_to_id(content) },
        json.added_tokens.map(({ content }) => content as string),
      );
    this.vocabSize = largestId(json) + 1;
    this.eosId = this.idOf(config.eos_token) ?? this.firstKnown(usualEndTokens);
    this.bosId = this.idOf(config.bos_token);
  }

  /** @throws DataError when it is not a tokenizer.json, or of a kind that cannot be run */
  static fromJson(json: unknown, config: unknown = {}, source = 'the tokenizer'): Tokenizer {
    const checked = checkTokenizerJson(json, source);
    try {
      return new Tokenizer(checked, isObject(config) ? config : {});
    } catch (cause) {
      throw new DataError(`${source} cannot be used as a tokenizer`, {
        got: cause instanceof Error ? cause.message : String(cause),
        hint: remedy,
        cause,
      });
    }
  }

  /** From a tokenizer.json, or from the folder that holds it (and perhaps a tokenizer_config.json). @throws DataError */
  static async load(path: string): Promise<Tokenizer> {
    const isFolder = existsSync(path) && (await stat(path)).isDirectory();
    const file = isFolder ? join(path, fileName) : path;
    const configFile = join(dirname(file), configName);
    const config = existsSync(configFile) ? await readJson(configFile) : {};
    if (!isObject(config)) throw new DataError(`${configFile} is not a JSON object`, { hint: remedy });
    return Tokenizer.fromJson(await readJson(file), config, file);
  }

  /** Token ids of a text, without the special tokens that some models put around it. */
  encode(text: string): number[] {
    if (text === '') return [];
    return this.words ? this.words.encode(text) : this.encodeWhole(text);
  }

  /** The text of ids, special tokens included; ids that the tokenizer does not have (padding of a model) give nothing. */
  decode(ids: readonly number[]): string {
    const known = ids.filter((id) => this.inner.id_to_token(id) !== undefined);
    return known.length === 0
      ? ''
      : this.inner.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** Decodes ids one by one, holding back bytes that are not a whole character yet. */
  streamDecoder(): StreamDecoder {
    return new StreamDecoder((ids) => this.decode(ids));
  }

  /** Writes tokenizer.json, and the tokenizer_config.json it came with, into a folder. @throws StorageError */
  async save(folder: string): Promise<void> {
    await writeWhole(folder, fileName, `${JSON.stringify(this.json)}\n`);
    if (Object.keys(this.config).length > 0)
      await writeWhole(folder, configName, `${JSON.stringify(this.config, null, 2)}\n`);
  }

  private encodeWhole(text: string): number[] {
    const { ids } = this.inner.encode(text, { add_special_tokens: false });
    // Without an unknown token, what the vocabulary lacks has no id; Hugging Face's tokenizers drop it too.
    return ids.filter((id: number | undefined) => id !== undefined);
  }

  private idOf(token: unknown): number | undefined {
    const content = isObject(token) ? token.content : token;
    return typeof content === 'string' ? this.inner.token_to_id(content) : undefined;
  }

  private firstKnown(tokens: readonly string[]): number | undefined {
    return tokens.map((token) => this.inner.token_to_id(token)).find((id) => id !== undefined);
  }
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new DataError(`cannot read ${file}`, {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'A checkpoint needs its tokenizer.json for text; token ids can be scored without one (--ids)',
      cause,
    });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${file} is not valid JSON`, { got, hint: remedy, cause });
  }
}

/** A crash leaves the file as it was, or whole. */
async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  const file = join(folder, name);
  const temporary = `${file}.part`;
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(temporary, text, { flush: true });
    await rename(temporary, file);
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new StorageError(`cannot write ${file}`, { got, hint: 'Make room or choose another folder', cause });
  }
}
