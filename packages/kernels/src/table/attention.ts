import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';

interface RotaryAttrs {
  readonly theta: number;
  readonly offset: number;
  readonly inverse: boolean;
}

/** B, T, S, H, K, d of q [B, T, H, d] and k [B, S, K, d]. */
function sizes(q: TensorInfo, k: TensorInfo): number[] {
  const [B = 0, T = 0, H = 0, d = 0] = q.shape;
  const [, S = 0, K = 0] = k.shape;
  return [B, T, S, H, K, d];
}

/** Heads of no columns have nothing to compute: outputs and gradients are empty, and nobody reads their log-sums. */
const hasColumns = (q: TensorInfo) => q.shape[3] !== 0;

export const attentionKernels = [
  nativeKernel<'x', RotaryAttrs>(
    KernelName.RotaryEmbedding,
    ['rotary_embedding'],
    ({ inputs: { x }, attrs: { theta, offset, inverse }, backend }) => {
      const type = backend.activationType;
      const y = backend.output(x.shape, type);
      backend.call('rotary_embedding', [backend.stored(x, type), y], [...x.shape, theta, offset, +inverse]);
      return y;
    },
  ),
  nativeKernel<'q' | 'k' | 'v'>(
    KernelName.CausalAttention,
    ['causal_attention'],
    ({ inputs: { q, k, v }, backend }) => {
      const type = backend.activationType;
      const stored = [q, k, v].map((each) => backend.stored(each, type));
      const [B = 0, T = 0, H = 0] = q.shape;
      const y = backend.output(q.shape, type);
      const logSums = backend.output([B, H, T]);
      if (hasColumns(q)) backend.call('causal_attention', [...stored, y, logSums], sizes(q, k));
      return [y, logSums];
    },
  ),
  nativeKernel<'q' | 'k' | 'v' | 'y' | 'logSums' | 'dy'>(
    KernelName.CausalAttentionGrad,
    ['causal_attention_grad'],
    ({ inputs: { q, k, v, y, logSums, dy }, backend }) => {
      const type = backend.activationType;
      const stored = [q, k, v, y, dy].map((each) => backend.stored(each, type));
      const grads = [q, k, v].map(({ shape }) => backend.output(shape, type));
      const operands = [...stored, backend.stored(logSums, StorageType.f32), ...grads];
      if (hasColumns(q)) backend.call('causal_attention_grad', operands, sizes(q, k));
      return grads;
    },
  ),
];
