export * from './errors';
export * from './arguments';
export * from './kernel';
export * from './kernel-capture';
export * from './kernel-names';
export * from './config';
export { toHuggingFaceConfig } from './huggingface-config';
export * from './zod-problems';
export { segmentWidths, type SegmentWidths } from './segments';
export * from './static-matrices';
export * from './random';
export * as initializers from './initializers';
export type { Initializer } from './initializers';
export * from './ops/linear';
export * from './ops/linears';
export * from './ops/grouped-linears';
export * from './ops/route-tokens';
export { rmsNorm } from './ops/rms-norm';
export * from './ops/residual-step';
export * from './ops/group-norm';
export * from './ops/rotary-embedding';
export * from './ops/causal-attention';
export * from './ops/swi-glu';
export * from './ops/embedding-lookup';
export * from './ops/linear-cross-entropy';
export { meanCrossEntropy } from './ops/mean-cross-entropy';
export * from './ops/adamw';
export * from './ops/clip-scale';
export * from './ops/global-norm';
export type {
  ConnectionParameters,
  ConnectionSizes,
  DynamicParameters,
  SublayerNorm,
} from './ops/connection-parameters';
export * from './ops/width-connection';
export * from './ops/depth-connection';
export * from './ops/connection-step';
export * from './ops/block-mix';
export * from './ops/used-twice';
export * from './cost';
export { costTable } from './cost-table';
export { parameterParts } from './cost-parameters';
export * from './backend';
export * from './precision';
