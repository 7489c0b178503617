/** Names under which the operations are registered with TensorFlow.js; a native backend registers the same ones. */
export const KernelName = {
  Linear: 'VwnLinear',
  LinearGrad: 'VwnLinearGrad',
  /** Two or three weights that multiply the same input. */
  LinearPair: 'VwnLinearPair',
  LinearPairGrad: 'VwnLinearPairGrad',
  LinearTriple: 'VwnLinearTriple',
  LinearTripleGrad: 'VwnLinearTripleGrad',
  /** The experts of a mixture: rows sorted by expert, a weight for each. */
  GroupedLinear: 'VwnGroupedLinear',
  GroupedLinearGrad: 'VwnGroupedLinearGrad',
  RouteTokens: 'VwnRouteTokens',
  RouteTokensGrad: 'VwnRouteTokensGrad',
  RmsNorm: 'VwnRmsNorm',
  RmsNormGrad: 'VwnRmsNormGrad',
  /** The residual sum of a plain transformer and the next sublayer's norm. */
  ResidualStep: 'VwnResidualStep',
  ResidualStepGrad: 'VwnResidualStepGrad',
  GroupRmsNorm: 'VwnGroupRmsNorm',
  GroupRmsNormGrad: 'VwnGroupRmsNormGrad',
  GroupLayerNorm: 'VwnGroupLayerNorm',
  GroupLayerNormGrad: 'VwnGroupLayerNormGrad',
  RotaryEmbedding: 'VwnRotaryEmbedding',
  CausalAttention: 'VwnCausalAttention',
  CausalAttentionGrad: 'VwnCausalAttentionGrad',
  SwiGlu: 'VwnSwiGlu',
  SwiGluGrad: 'VwnSwiGluGrad',
  EmbeddingLookup: 'VwnEmbeddingLookup',
  EmbeddingLookupGrad: 'VwnEmbeddingLookupGrad',
  LinearCrossEntropy: 'VwnLinearCrossEntropy',
  LinearCrossEntropyGrad: 'VwnLinearCrossEntropyGrad',
  /** The mean, and both gradients of it in the same pass. */
  MeanCrossEntropy: 'VwnMeanCrossEntropy',
  /** A gradient that the forward pass has made, times that of its result. */
  ScaleGradient: 'VwnScaleGradient',
  WidthConnection: 'VwnWidthConnection',
  WidthConnectionGrad: 'VwnWidthConnectionGrad',
  StaticWidthConnection: 'VwnStaticWidthConnection',
  StaticWidthConnectionGrad: 'VwnStaticWidthConnectionGrad',
  DepthConnection: 'VwnDepthConnection',
  DepthConnectionGrad: 'VwnDepthConnectionGrad',
  BlockMix: 'VwnBlockMix',
  BlockMixGrad: 'VwnBlockMixGrad',
  /** Tensors for two uses, and the sums of their gradients. */
  UsedTwice: 'VwnUsedTwice',
  AddPairs: 'VwnAddPairs',
  AdamW: 'VwnAdamW',
  /** In place, over all tensors at once; only where a backend brings it. */
  AdamWAll: 'VwnAdamWAll',
  GlobalNorm: 'VwnGlobalNorm',
  ClipScale: 'VwnClipScale',
} as const;

/** One kernel of connectionStep, connectionRead, connectionEntry or connectionWrite: tfjs's named inputs cannot be optional. */
export interface ConnectionKind {
  /** Writes what the sublayer before made, by its connection. */
  readonly write: boolean;
  /** Reads the input of the sublayer behind, by its connection. */
  readonly read: boolean;
  /** Coefficients depend on the token. */
  readonly dynamic: boolean;
  /** What was read goes through the RMSNorm of the sublayer behind. */
  readonly normed: boolean;
  /** Of a read alone: the state comes out again, so that what it gets from others is added to the read's gradient of it. */
  readonly passes?: boolean;
}

/** Every kind that there is a kernel of. */
export const connectionKinds: readonly ConnectionKind[] = [true, false].flatMap((dynamic) => [
  { write: true, read: true, dynamic, normed: false },
  { write: true, read: true, dynamic, normed: true },
  { write: false, read: true, dynamic, normed: false },
  { write: false, read: true, dynamic, normed: true },
  { write: false, read: true, dynamic, normed: false, passes: true },
  { write: false, read: true, dynamic, normed: true, passes: true },
  { write: true, read: false, dynamic, normed: false },
]);

/** Kernel and gradient of a kind, such as `VwnConnectionStep` or `VwnStaticConnectionReadNorm`, each with its `…Grad`. */
export function connectionKernelNames({
  write,
  read,
  dynamic,
  normed,
  passes,
}: ConnectionKind): [name: string, gradName: string] {
  const halves = write && read ? 'Step' : write ? 'Write' : passes ? 'Entry' : 'Read';
  const name = `Vwn${dynamic ? '' : 'Static'}Connection${halves}${normed ? 'Norm' : ''}`;
  return [name, `${name}Grad`];
}
