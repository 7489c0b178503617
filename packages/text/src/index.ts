export * from './corpus';
export * from './bpe-trainer';
export * from './tokenizer';
export { StreamDecoder } from './stream-decoder';
