import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../native-backend';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { lastOf, rowsOf } from './shapes';

interface Attrs {
  readonly eps: number;
  /** Absent: the whole row is one group. */
  readonly groupSize?: number;
}

/** rows, groups, size, eps. A whole row is one group also where it has no numbers, of which no quotient tells that. */
function numbers(x: TensorInfo, { eps, groupSize }: Attrs): number[] {
  const size = groupSize ?? lastOf(x);
  return [rowsOf(x), groupSize === undefined ? 1 : lastOf(x) / size, size, eps];
}

function forward(x: TensorInfo, weight: TensorInfo, attrs: Attrs, backend: NativeBackend): TensorInfo {
  const type = backend.activationType;
  const y = backend.output(x.shape, type);
  const operands = [backend.stored(x, type), backend.stored(weight, StorageType.f32), y];
  backend.call('rms_norm', operands, numbers(x, attrs));
  return y;
}

function backward(x: TensorInfo, weight: TensorInfo, dy: TensorInfo, attrs: Attrs, backend: NativeBackend) {
  const type = backend.activationType;
  const operands = [backend.stored(x, type), backend.stored(weight, StorageType.f32), backend.stored(dy, type)];
  const dx = backend.output(x.shape, type);
  const dWeight = backend.output(weight.shape);
  backend.call('rms_norm_grad', [...operands, dx, dWeight], numbers(x, attrs));
  return [dx, dWeight];
}

function residual(h: TensorInfo, out: TensorInfo, weight: TensorInfo, { eps }: Attrs, backend: NativeBackend) {
  const type = backend.activationType;
  const [next, x] = [backend.output(h.shape, type), backend.output(h.shape, type)];
  const operands = [backend.stored(h, type), backend.stored(out, type), backend.stored(weight, StorageType.f32)];
  backend.call('residual_step', [...operands, next, x], [rowsOf(h), lastOf(h), eps]);
  return [next, x];
}

type ResidualGradInputs = Readonly<Record<'next' | 'weight' | 'dNext' | 'dx', TensorInfo>>;

function residualBackward({ next, weight, dNext, dx }: ResidualGradInputs, { eps }: Attrs, backend: NativeBackend) {
  const type = backend.activationType;
  const stored = [backend.stored(next, type), backend.stored(weight, StorageType.f32)];
  const operands = [...stored, backend.stored(dNext, type), backend.stored(dx, type)];
  const dh = backend.output(next.shape, type);
  const dWeight = backend.output(weight.shape);
  backend.call('residual_step_grad', [...operands, dh, dWeight], [rowsOf(next), lastOf(next), eps]);
  return [dh, dWeight];
}

const residualKernels = [
  nativeKernel<'h' | 'out' | 'weight', Attrs>(
    KernelName.ResidualStep,
    ['residual_step', 'convert'],
    ({ inputs: { h, out, weight }, attrs, backend }) => residual(h, out, weight, attrs, backend),
  ),
  nativeKernel<keyof ResidualGradInputs, Attrs>(
    KernelName.ResidualStepGrad,
    ['residual_step_grad', 'convert'],
    ({ inputs, attrs, backend }) => residualBackward(inputs, attrs, backend),
  ),
];

const kinds = [
  [KernelName.RmsNorm, KernelName.RmsNormGrad],
  [KernelName.GroupRmsNorm, KernelName.GroupRmsNormGrad],
] as const;

/**
 * Root mean square norms over the last axis, whole, behind a residual sum, or in groups. The layer form of the group norm
 * runs composed.
 */
const rmsNormKernels = kinds.flatMap(([name, gradName]) => [
  nativeKernel<'x' | 'weight', Attrs>(name, ['rms_norm', 'convert'], ({ inputs: { x, weight }, attrs, backend }) =>
    forward(x, weight, attrs, backend),
  ),
  nativeKernel<'x' | 'weight' | 'dy', Attrs>(
    gradName,
    ['rms_norm_grad'],
    ({ inputs: { x, weight, dy }, attrs, backend }) => backward(x, weight, dy, attrs, backend),
  ),
]);

export const normKernels = [...rmsNormKernels, ...residualKernels];
