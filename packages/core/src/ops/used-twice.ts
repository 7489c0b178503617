import { add, clone, type Tensor } from '@tensorflow/tfjs-core';
import { gradientDepth } from '../gradient-depth';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';

/** As `defineKernel` names inputs of any number. */
const numbered = (tensors: readonly Tensor[]) => Object.fromEntries(tensors.map((each, i) => [String(i), each]));

/** Inputs a0, b0, a1, b1, …; outputs a0 + b0, a1 + b1, …. */
const addPairs = defineKernel<string, object>({
  name: KernelName.AddPairs,
  composed: (inputs) => {
    const tensors = Object.values(inputs);
    return tensors.flatMap((each, i) => (i % 2 === 0 ? add(each, tensors[i + 1] as Tensor) : []));
  },
  gradient: { savedInputs: [], backward: (dys) => numbered(dys.flatMap((dy) => [clone(dy), clone(dy)])) },
});

/** Outputs: all inputs, then all once more. */
const kernel = defineKernel<string, object>({
  name: KernelName.UsedTwice,
  composed: (inputs) => [0, 1].flatMap(() => Object.values(inputs).map((each) => clone(each))),
  gradient: {
    savedInputs: [],
    backward: (dys) => {
      const count = dys.length / 2;
      const pairs = dys.slice(0, count).flatMap((each, i) => [each, dys[count + i] as Tensor]);
      return numbered(addPairs(numbered(pairs), {}));
    },
  },
});

/**
 * Tensors that a computation uses in two places, for either: same values, same memory. Where a gradient is taken, tfjs
 * adds what comes from both uses tensor by tensor; of these, which are many and small (each connection's coefficients
 * are read by one step and written by the next), one kernel adds all.
 */
export function usedTwice(tensors: readonly Tensor[]): [first: readonly Tensor[], second: readonly Tensor[]] {
  if (gradientDepth() === 0 || tensors.length === 0) return [tensors, tensors];
  const outputs = kernel(numbered(tensors), {});
  return [outputs.slice(0, tensors.length), outputs.slice(tensors.length)];
}
