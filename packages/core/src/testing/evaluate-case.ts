import { add, grads, mul, sum, tensor, tidy, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { Rng } from '../random';
import type { CaseInputs, OpCase } from './op-case';

export interface HostTensor {
  readonly shape: number[];
  readonly values: Float32Array;
}

/** What one case gives on the current backend. */
export interface CaseResult {
  readonly outputs: HostTensor[];
  /** Gradients of Σ upstream ∘ outputs by input name, upstream normal numbers. */
  readonly gradients: Record<string, HostTensor>;
}

/**
 * Runs a case forward and backward on the current backend. The same seed gives the same inputs and upstream gradients
 * everywhere, so results of two backends can be compared.
 */
export function evaluateCase(opCase: OpCase, seed: number | string = 0): CaseResult {
  const rng = Rng.fromSeed(seed).fork(opCase.name);
  const result: CaseResult = { outputs: [], gradients: {} };
  tidy(() => {
    const inputs = opCase.inputs(rng.fork('inputs'));
    const outputs = opCase.run(inputs);
    const gradients = caseGradients(opCase, inputs, upstreamOf(outputs, rng.fork('upstream')));
    result.outputs.push(...outputs.map(toHost));
    for (const [name, gradient] of Object.entries(gradients)) result.gradients[name] = toHost(gradient);
  });
  return result;
}

/** Normal numbers in the shape of each output. */
export function upstreamOf(outputs: readonly Tensor[], rng: Rng): Tensor[] {
  return outputs.map((output) => tensor(rng.normals(output.size), output.shape, 'float32'));
}

/** Gradients of Σ upstream ∘ outputs with respect to each differentiable input. */
export function caseGradients(
  { run, differentiable }: Pick<OpCase, 'run' | 'differentiable'>,
  inputs: CaseInputs,
  upstream: readonly Tensor[],
): CaseInputs {
  const objective = (...values: Tensor[]): Scalar => {
    const given = Object.fromEntries(differentiable.map((name, i) => [name, values[i] as Tensor]));
    const terms = run({ ...inputs, ...given }).map((output, k) => sum(mul(output, upstream[k] as Tensor)));
    return terms.reduce((total, term) => add(total, term)) as Scalar;
  };
  const gradients = grads(objective)(differentiable.map((name) => inputs[name] as Tensor));
  return Object.fromEntries(differentiable.map((name, i) => [name, gradients[i] as Tensor]));
}

function toHost(value: Tensor): HostTensor {
  return { shape: value.shape, values: Float32Array.from(value.dataSync()) };
}
