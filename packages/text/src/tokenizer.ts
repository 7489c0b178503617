import { DataError } from '@vwn/core';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TokenizerJson } from './bpe-trainer';
import { StreamDecoder } from './stream-decoder';

type Json = Record<string, unknown>;

const fileName = 'tokenizer.json';
/** Names that an end-of-text token goes by when no tokenizer_config.json tells. */
const usualEndTokens = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>'];

/** A tokenizer of Hugging Face's tokenizer.json, run by @huggingface/tokenizers. */
export class Tokenizer {
  /** Number of ids, added tokens included: one more than the largest. */
  readonly vocabSize: number;
  /** Ends a text and separates documents; undefined when the tokenizer has none. */
  readonly eosId: number | undefined;
  readonly bosId: number | undefined;
  private readonly inner: HuggingFaceTokenizer;

  private constructor(
    private readonly json: TokenizerJson,
    private readonly config: Json,
  ) {
    this.inner = new HuggingFaceTokenizer(json, config);
    this.vocabSize = Math.max(-1, ...idsOf(json)) + 1;
    this.eosId = this.idOf(config.eos_token) ?? this.firstKnown(usualEndTokens);
    this.bosId = this.idOf(config.bos_token);
  }

  /** @throws DataError when it is not a tokenizer.json */
  static fromJson(json: unknown, config: Json = {}, source = 'tokenizer'): Tokenizer {
    const { model, added_tokens } = (json ?? {}) as Partial<TokenizerJson>;
    if (!model || typeof model !== 'object' || typeof model.type !== 'string' || !Array.isArray(added_tokens ?? []))
      throw new DataError(`${source} is not a tokenizer`, {
        expected: 'Hugging Face’s tokenizer.json, with a "model"',
        hint: 'Copy tokenizer.json from the checkpoint that the model came from',
      });
    try {
      return new Tokenizer(json as TokenizerJson, config);
    } catch (cause) {
      const got = cause instanceof Error ? cause.message : String(cause);
      throw new DataError(`${source} cannot be used as a tokenizer`, { got, cause });
    }
  }

  /** From a tokenizer.json, or from the folder that holds it (and perhaps a tokenizer_config.json). @throws DataError */
  static async load(path: string): Promise<Tokenizer> {
    const isFolder = existsSync(path) && (await stat(path)).isDirectory();
    const file = isFolder ? join(path, fileName) : path;
    const configFile = join(dirname(file), 'tokenizer_config.json');
    const config = existsSync(configFile) ? await readJson(configFile) : {};
    return Tokenizer.fromJson(await readJson(file), config as Json, file);
  }

  /** Token ids of a text, without the special tokens that some models put around it. */
  encode(text: string): number[] {
    return text === '' ? [] : this.inner.encode(text, { add_special_tokens: false }).ids;
  }

  decode(ids: readonly number[]): string {
    return ids.length === 0
      ? ''
      : this.inner.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** Decodes ids one by one, holding back bytes that are not a whole character yet. */
  streamDecoder(): StreamDecoder {
    return new StreamDecoder((ids) => this.decode(ids));
  }

  /** Writes tokenizer.json into a folder. */
  async save(folder: string): Promise<void> {
    await writeFile(join(folder, fileName), `${JSON.stringify(this.json)}\n`);
    if (Object.keys(this.config).length > 0)
      await writeFile(join(folder, 'tokenizer_config.json'), `${JSON.stringify(this.config, null, 2)}\n`);
  }

  private idOf(token: unknown): number | undefined {
    const content = typeof token === 'string' ? token : (token as { content?: unknown } | null | undefined)?.content;
    return typeof content === 'string' ? this.inner.token_to_id(content) : undefined;
  }

  private firstKnown(tokens: readonly string[]): number | undefined {
    return tokens.map((token) => this.inner.token_to_id(token)).find((id) => id !== undefined);
  }
}

function* idsOf({ model, added_tokens }: TokenizerJson): Generator<number> {
  const { vocab } = model as { vocab: Record<string, number> | [string, number][] };
  if (Array.isArray(vocab)) yield vocab.length - 1;
  else for (const id of Object.values(vocab ?? {})) yield id;
  for (const { id } of added_tokens ?? []) if (typeof id === 'number') yield id;
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
    throw new DataError(`${file} is not valid JSON`, {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'The file is damaged or was not copied completely',
      cause,
    });
  }
}
