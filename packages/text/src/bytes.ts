/**
 * GPT-2's way to write bytes as printable characters, which byte-level tokenizers use in their vocabularies: printable
 * Latin-1 stands for itself, the other 68 bytes are moved to U+0100 and up. Indexed by byte.
 */
export const byteCharacters: readonly string[] = (() => {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : 256 + moved++));
})();

/**
 * GPT-2's pre-tokenizer: contractions, words with the space before them, numbers, other signs, white space. As in
 * Hugging Face's tokenizers, `\s` is Unicode's White_Space; JavaScript's would add U+FEFF and miss U+0085.
 */
export const wordPatternSource = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

export const wordPattern = new RegExp(
  wordPatternSource
    .replaceAll(String.raw`\s`, String.raw`\p{White_Space}`)
    .replaceAll(String.raw`\S`, String.raw`\P{White_Space}`),
  'gu',
);
