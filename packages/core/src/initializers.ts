import type { Rng } from './random';

/** Values of a new parameter. `rng` is a stream of its own, forked by the parameter's name. */
export type Initializer = (shape: readonly number[], rng: Rng) => Float32Array;

export const zeros: Initializer = (shape) => new Float32Array(sizeOf(shape));

export const ones: Initializer = (shape) => new Float32Array(sizeOf(shape)).fill(1);

export function normal(std: number): Initializer {
  return (shape, rng) => rng.normals(sizeOf(shape), std);
}

/** Always the same values (a static matrix). */
export function values(fixed: Float32Array): Initializer {
  return () => fixed.slice();
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
