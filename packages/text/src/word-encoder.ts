import { wordPattern } from './bytes';

/** What the whole-text encoder of a library offers, without its own split into words. */
export interface WordModel {
  encode(word: string): number[];
  tokenId(content: string): number | undefined;
}

/** Distinct words remembered; beyond them memory would grow with the text. */
const maxWords = 2 ** 18;

/**
 * GPT-2's way from text to ids: cut at added tokens, then into words, then each word by the model, remembered. Natural
 * text repeats its words, so that this is several times as fast as the library on the whole text; and its split agrees
 * with Hugging Face's where JavaScript's `\s` does not (U+0085, U+FEFF).
 */
export class WordEncoder {
  private readonly known = new Map<string, readonly number[]>();
  private readonly added: RegExp | undefined;

  constructor(
    private readonly model: WordModel,
    addedTokens: readonly string[],
  ) {
    const longestFirst = [...addedTokens].sort((a, b) => b.length - a.length).map(escape);
    if (longestFirst.length > 0) this.added = new RegExp(`(${longestFirst.join('|')})`, 'u');
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    const parts = this.added ? text.split(this.added) : [text];
    // Split by one group: every second part is an added token.
    parts.forEach((part, i) => {
      if (i % 2 === 1) ids.push(this.model.tokenId(part) as number);
      else for (const [word] of part.matchAll(wordPattern)) for (const id of this.encodeWord(word)) ids.push(id);
    });
    return ids;
  }

  private encodeWord(word: string): readonly number[] {
    const known = this.known.get(word);
    if (known) return known;
    const ids = this.model.encode(word);
    if (this.known.size >= maxWords) this.known.clear();
    this.known.set(word, ids);
    return ids;
  }
}

function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}
