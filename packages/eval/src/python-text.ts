/**
 * Python's string functions where JavaScript's differ, so that prompts and lengths equal lm-evaluation-harness's to the
 * character: other whitespace (JavaScript's `trim` also takes U+FEFF and leaves U+001C–U+001F and U+0085), code points
 * instead of UTF-16 units, `str.capitalize`.
 */
const whitespace = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const leading = new RegExp(`^${whitespace}+`, 'u');
const trailing = new RegExp(`${whitespace}+$`, 'u');
const inner = new RegExp(`${whitespace}+`, 'u');

/** `str.rstrip()` */
export function rightStrip(text: string): string {
  return text.replace(trailing, '');
}

/** `str.strip()` */
export function strip(text: string): string {
  return rightStrip(text.replace(leading, ''));
}

/** `len(str)`: code points. */
export function codePointLength(text: string): number {
  return [...text].length;
}

/** `re.split(r"\s+", text)`: with an empty part where the text begins or ends with whitespace. */
export function splitAtWhitespace(text: string): string[] {
  return text.split(inner);
}

/**
 * `str.capitalize()`: the first character in title case, all others in lower case. Differs from Python for the few
 * letters whose title case is neither their upper case nor that with its tail in lower case (ǆ, ŉ and the like).
 */
export function capitalize(text: string): string {
  const [first = '', ...rest] = [...text];
  const [initial = '', ...expansion] = [...first.toUpperCase()];
  return initial + (expansion.join('') + rest.join('')).toLowerCase();
}
