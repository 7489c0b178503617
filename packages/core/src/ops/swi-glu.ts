import { add, mul, sigmoid, sub, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireFloat, requireFloats } from './internal/shapes';

type Inputs = 'gate' | 'up';

const gradKernel = defineKernel<Inputs | 'dy', object>({
  name: KernelName.SwiGluGrad,
  inputs: ['gate', 'up', 'dy'],
  composed: ({ gate, up, dy }) => {
    const s = sigmoid(gate);
    const silu = mul(gate, s);
    // silu' = s + silu·(1 − s)
    const dGate = mul(mul(dy, up), add(s, mul(silu, sub(1, s))));
    return [dGate, mul(dy, silu)];
  },
});

const kernel = defineKernel<Inputs, object>({
  name: KernelName.SwiGlu,
  inputs: ['gate', 'up'],
  composed: ({ gate, up }) => mul(mul(gate, sigmoid(gate)), up),
  gradient: {
    backward: ([dy], { gate, up }) => {
      const [dGate, dUp] = gradKernel({ gate, up, dy: dy as Tensor }, {});
      return { gate: dGate as Tensor, up: dUp as Tensor };
    },
  },
});

/** `silu(gate) ∘ up`, silu(z) = z·sigmoid(z); both of one shape. @throws ShapeError */
export function swiGlu(gate: Tensor, up: Tensor): Tensor {
  requireFloat('swiGlu', 'gate', gate);
  requireFloats('swiGlu', 'up', up, gate.shape, 'gate and up are two projections of one width');
  return kernel({ gate, up }, {})[0] as Tensor;
}
