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
 * GPT-2's pre-tokenizer: contractions, words with the space before them, numbers, other signs, white space. Its `\s` is
 * Unicode's White_Space, as in Hugging Face's tokenizers; JavaScript's `\s` would add U+FEFF and miss U+0085.
 */
export const wordPattern =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
