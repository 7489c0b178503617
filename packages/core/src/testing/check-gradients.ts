/**
 * Gradient check by finite differences in float32. Outputs are projected on random numbers in float64 on the host, so
 * that only the operation itself rounds, and each input is moved along random directions with a fourth-order stencil,
 * whose truncation error allows steps so large that rounding does not hide the difference.
 */
import { dispose, tensor, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { Rng } from '../random';
import { caseGradients, upstreamOf } from './evaluate-case';
import type { CaseInputs, OpCase } from './op-case';

export interface GradientCheckOptions {
  readonly seed?: number | string;
  /** Directions tried for each input. */
  readonly directions?: number;
  /** Length of one step for each element; inputs are expected to be of the order of 1. */
  readonly step?: number;
}

export interface GradientCheck {
  readonly input: string;
  /** Largest |numeric − analytic| directional derivative over the gradient's norm (the size that it has on average). */
  readonly error: number;
}

/** Largest error of {@link checkGradients} that float32 explains. */
export const finiteDifferenceTolerance = 2e-3;

/** Compares the gradient of every differentiable input with central differences; an entry for each input. */
export function checkGradients(
  { run, differentiable }: Pick<OpCase, 'run' | 'differentiable'>,
  inputs: CaseInputs,
  { seed = 0, directions = 3, step = 0.02 }: GradientCheckOptions = {},
): GradientCheck[] {
  const rng = Rng.fromSeed(seed);
  return tidy(() => {
    const upstream = upstreamOf(run(inputs), rng.fork('upstream'));
    const weights = upstream.map((each) => each.dataSync());
    const gradients = caseGradients({ run, differentiable }, inputs, upstream);
    return differentiable.map((name) => {
      const [value, gradient] = [inputs[name] as Tensor, (gradients[name] as Tensor).dataSync()];
      const objective = (values: Float32Array) => {
        const moved = tensor(values, value.shape, 'float32');
        const outputs = tidy(() => run({ ...inputs, [name]: moved }));
        const total = outputs.reduce(
          (sum, output, k) => sum + dot(output.dataSync(), weights[k] as ArrayLike<number>),
          0,
        );
        dispose([moved, ...outputs]);
        return total;
      };
      const errors = Array.from({ length: directions }, (_, i) => {
        const direction = rng.fork(`${name} ${i}`).normals(value.size);
        return directionalError(objective, value.dataSync(), gradient, direction, step);
      });
      return { input: name, error: Math.max(...errors) };
    });
  });
}

function directionalError(
  objective: (values: Float32Array) => number,
  at: ArrayLike<number>,
  gradient: ArrayLike<number>,
  direction: Float32Array,
  step: number,
): number {
  const along = (distance: number) => objective(direction.map((each, i) => (at[i] as number) + distance * each));
  const numeric = (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step);
  const analytic = dot(gradient, direction);
  return Math.abs(numeric - analytic) / Math.max(Math.sqrt(dot(gradient, gradient)), 1e-6);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += (a[i] as number) * (b[i] as number);
  return total;
}
