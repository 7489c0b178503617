import { KernelName } from '@vwn/core';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';

interface Attrs {
  readonly ignoreIndex: number;
}

export const crossEntropyKernels = [
  nativeKernel<'hidden' | 'weight' | 'targets', Attrs>(
    KernelName.LinearCrossEntropy,
    ['linear_cross_entropy'],
    ({ inputs: { hidden, weight, targets }, attrs: { ignoreIndex }, backend }) => {
      const [[N = 0, D = 0], [V = 0]] = [hidden.shape, weight.shape];
      const [losses, logSumExp] = [backend.output([N]), backend.output([N])];
      const numbers = [N, D, V, ignoreIndex, +(backend.precision === 'bf16')];
      backend.call('linear_cross_entropy', [hidden, backend.rounded(weight), targets, losses, logSumExp], numbers);
      return [losses, logSumExp];
    },
  ),
  nativeKernel<'hidden' | 'weight' | 'targets' | 'logSumExp' | 'dy', Attrs>(
    KernelName.LinearCrossEntropyGrad,
    ['linear_cross_entropy_grad'],
    ({ inputs: { hidden, weight, targets, logSumExp, dy }, attrs: { ignoreIndex }, backend }) => {
      const [[N = 0, D = 0], [V = 0]] = [hidden.shape, weight.shape];
      const dHidden = backend.output(hidden.shape, backend.activationType);
      const dWeight = backend.output(weight.shape);
      const numbers = [N, D, V, ignoreIndex, +(backend.precision === 'bf16')];
      backend.call(
        'linear_cross_entropy_grad',
        [hidden, backend.rounded(weight), targets, logSumExp, backend.stored(dy, StorageType.f32), dHidden, dWeight],
        numbers,
      );
      return [dHidden, dWeight];
    },
  ),
  nativeKernel<'hidden' | 'weight' | 'targets', Attrs>(
    KernelName.MeanCrossEntropy,
    ['mean_cross_entropy'],
    ({ inputs: { hidden, weight, targets }, attrs: { ignoreIndex }, backend }) => {
      const [[N = 0, D = 0], [V = 0]] = [hidden.shape, weight.shape];
      const outputs = [
        backend.output([]),
        backend.output(hidden.shape, backend.activationType),
        backend.output(weight.shape),
      ];
      const numbers = [N, D, V, ignoreIndex, +(backend.precision === 'bf16')];
      backend.call('mean_cross_entropy', [hidden, backend.rounded(weight), targets, ...outputs], numbers);
      return outputs;
    },
  ),
];
