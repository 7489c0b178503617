/**
 * The form of the one case table: every row drives correctness, the gradient check and the benchmark of an operation
 * on every backend (the habit of ggml's test-backend-ops). A backend's own tests need nothing but these rows.
 */
import { tensor, type Tensor } from '@tensorflow/tfjs-core';
import type { Rng } from '../random';

export type CaseInputs = Record<string, Tensor>;

export interface OpCase {
  /** Unique over all tables: the operation and its sizes, e.g. `widthConnection dynamic m=2 n=3 db=8 tokens=5`. */
  readonly name: string;
  /** Function of this package that `run` calls. */
  readonly op: string;
  /** Registered kernel names that `run` uses, forward first; what `tf.profile` shows and a native backend brings. */
  readonly kernels: readonly string[];
  /** New input tensors by name; the same numbers for the same stream. The caller disposes of them. */
  inputs(rng: Rng): CaseInputs;
  /** One call of the operation; all of its outputs, in order. */
  run(inputs: CaseInputs): Tensor[];
  /** Names of the inputs that have a gradient. */
  readonly differentiable: readonly string[];
  /** `small` rows are for checks; `large` rows have sizes of a real model and are what benchmarks time. */
  readonly size: 'small' | 'large';
  /** Floating-point operations of one forward call, where a formula is known (vwn.md §6). */
  readonly flops?: number;
}

/** Normal float32 input of a case; `mean` 1 and a small `std` suit norm weights. */
export function normalInput(rng: Rng, shape: number[], std = 1, mean = 0): Tensor {
  const size = shape.reduce((product, each) => product * each, 1);
  return tensor(
    rng.normals(size, std).map((value) => value + mean),
    shape,
    'float32',
  );
}

/** Uniform int32 input among 0 … limit − 1: token ids, targets. */
export function integerInput(rng: Rng, shape: number[], limit: number): Tensor {
  const size = shape.reduce((product, each) => product * each, 1);
  return tensor(
    Int32Array.from({ length: size }, () => rng.int(limit)),
    shape,
    'int32',
  );
}
