/**
 * GPT-2's way to write bytes as printable characters, which byte-level tokenizers use in their vocabularies: printable
 * Latin-1 stands for itself, the other 68 bytes are moved to U+0100 and up.
 */
export const byteCharacters: readonly string[] = (() => {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : 256 + moved++));
})();

/** GPT-2's pre-tokenizer: contractions, words with the space before them, numbers, other signs, white space. */
export const wordPattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
