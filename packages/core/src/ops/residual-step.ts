import { add, clone, type Tensor } from '@tensorflow/tfjs-core';
import { requireEpsilon } from '../arguments';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import type { SublayerNorm } from './connection-parameters';
import { lastOf, requireFloat, requireFloats } from './internal/shapes';
import { composedRmsNorm, composedRmsNormGradients } from './rms-norm';

interface Attrs {
  readonly eps: number;
}

/** `next` is the state that the forward pass made, `dNext` what came to it from behind. Outputs: dh, dWeight. */
const gradKernel = defineKernel<'next' | 'weight' | 'dNext' | 'dx', Attrs>({
  name: KernelName.ResidualStepGrad,
  inputs: ['next', 'weight', 'dNext', 'dx'],
  composed: ({ next, weight, dNext, dx }, { eps }) => {
    const [throughNorm, dWeight] = composedRmsNormGradients(next, weight, dx, eps);
    return [add(dNext, throughNorm), dWeight];
  },
});

const kernel = defineKernel<'h' | 'out' | 'weight', Attrs>({
  name: KernelName.ResidualStep,
  inputs: ['h', 'out', 'weight'],
  composed: ({ h, out, weight }, { eps }) => {
    const next = add(h, out);
    return [next, composedRmsNorm(next, weight, eps)];
  },
  gradient: {
    savedInputs: ['weight'],
    savedOutputs: [true, false],
    backward: ([dNext, dx], { weight }, [next], attrs) => {
      const inputs = { next: next as Tensor, weight, dNext: dNext as Tensor, dx: dx as Tensor };
      const [dh, dWeight] = gradKernel(inputs, attrs) as [Tensor, Tensor];
      return { h: dh, out: clone(dh), weight: dWeight };
    },
  },
});

/**
 * The fused step from one sublayer of a plain transformer to the next, what {@link connectionStep} is to a VWN: the
 * residual sum, then the pre-norm of the sublayer behind. `h' = h + out`, `x = rmsNorm(h')`; h, out [..., D] → h', x
 * [..., D]. A native kernel reads h and out and writes both results, and backward reads h', dh' and dx and writes the
 * one gradient that h and out share: 4+4 units of traffic, where apart they are 5+6.
 * @throws ShapeError; ConfigError when eps cannot be one
 */
export function residualStep(h: Tensor, out: Tensor, norm: SublayerNorm): { h: Tensor; x: Tensor } {
  const op = 'residualStep';
  requireFloat(op, 'h', h);
  requireFloats(op, 'out', out, h.shape, 'out is added to h');
  requireFloats(op, 'norm.weight', norm.weight, [lastOf(h)], 'One weight for each element of the last axis of h');
  requireEpsilon(op, 'norm.eps', norm.eps);
  const [next, x] = kernel({ h, out, weight: norm.weight }, { eps: norm.eps });
  return { h: next as Tensor, x: x as Tensor };
}
