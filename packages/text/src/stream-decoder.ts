/** What a decoder shows for bytes that are not a character. */
const replacement = '\uFFFD';
/** A character has at most 4 bytes: an unfinished one shows as at most 3 replacement characters. */
const maxUnfinished = 3;

/**
 * Turns a stream of token ids into text, never showing half a UTF-8 character. All that is shown together is the
 * decoder's text of all ids. A text's own U+FFFD looks like an unfinished character: at the end it is held back until `end`.
 */
export class StreamDecoder {
  /** Ids shown last: a decoder may look at neighbours (leading spaces), so it is given them again. */
  private before: number[] = [];
  private pending: number[] = [];
  /** Characters of the decoded `before` and `pending` that are out already. */
  private shown = 0;

  constructor(private readonly decode: (ids: readonly number[]) => string) {}

  /** The text that this id completes; empty while a character is still in parts. */
  push(id: number): string {
    this.pending.push(id);
    const text = this.decode([...this.before, ...this.pending]);
    const unfinished = countTrailing(text);
    const fresh = this.show(text, text.length - unfinished);
    if (unfinished === 0) this.keepLast();
    return fresh;
  }

  /** What is left at the end, broken or not; then a new text may begin. */
  end(): string {
    const text = this.decode([...this.before, ...this.pending]);
    const fresh = this.show(text, text.length);
    this.before = [];
    this.pending = [];
    this.shown = 0;
    return fresh;
  }

  private show(text: string, end: number): string {
    if (end <= this.shown) return '';
    const fresh = text.slice(this.shown, end);
    this.shown = end;
    return fresh;
  }

  private keepLast(): void {
    // An id without text of its own (a stripped space) must stay with those before it.
    const decoded = this.decode(this.pending);
    if (decoded === '') return;
    this.before = this.pending;
    this.pending = [];
    this.shown = decoded.length;
  }
}

function countTrailing(text: string): number {
  let count = 0;
  while (count < maxUnfinished && text.at(-1 - count) === replacement) count++;
  return count;
}
