/** What a decoder shows for bytes that are not a character. */
const replacement = '\uFFFD';
/** A character has at most 4 bytes, so a longer tail of broken ones will not become whole. */
const maxPending = 4;

/** Turns a stream of token ids into text, never showing half a UTF-8 character. */
export class StreamDecoder {
  private ids: number[] = [];
  private shown = '';

  constructor(private readonly decode: (ids: readonly number[]) => string) {}

  /** The text that this id completes; empty while a character is still in parts. */
  push(id: number): string {
    this.ids.push(id);
    const text = this.decode(this.ids);
    if (text.endsWith(replacement) && this.ids.length <= maxPending) return '';
    return this.show(text);
  }

  /** What is left at the end, broken or not. */
  end(): string {
    return this.show(this.decode(this.ids));
  }

  private show(text: string): string {
    const fresh = text.slice(this.shown.length);
    // The last id stays, so that a decoder which looks at neighbours (leading spaces) still sees one.
    const last = this.ids.at(-1);
    this.ids = last === undefined ? [] : [last];
    this.shown = this.decode(this.ids);
    return fresh;
  }
}
