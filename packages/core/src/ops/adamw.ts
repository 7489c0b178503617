import {
  add,
  div,
  engine,
  mul,
  scalar,
  sqrt,
  square,
  sub,
  tensor2d,
  tidy,
  type Scalar,
  type Tensor,
  type Tensor2D,
  type Variable,
} from '@tensorflow/tfjs-core';
import { defineKernel, hasNativeKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requirePositiveWhole } from '../arguments';
import { requireFloats } from './internal/shapes';

export interface AdamWOptions {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Decoupled: the parameter shrinks by `lr·weightDecay` first. */
  readonly weightDecay: number;
  /** 1 for the first update; drives the bias corrections. */
  readonly step: number;
  /** Multiplies the gradient: the factor of clipping by global norm. */
  readonly gradScale?: number;
}

/** What an update p ← p·shrink − stepSize·m/(√v·correction + eps) takes from rate, decay and bias corrections. */
interface Factors {
  readonly shrink: number;
  readonly stepSize: number;
  readonly correction: number;
}

type Betas = Pick<AdamWOptions, 'beta1' | 'beta2' | 'eps'>;

function factorsOf({ lr, beta1, beta2, weightDecay, step }: Omit<AdamWOptions, 'eps'>): Factors {
  requirePositiveWhole('adamW', 'step', step);
  return {
    shrink: 1 - lr * weightDecay,
    stepSize: lr / (1 - beta1 ** step),
    correction: 1 / Math.sqrt(1 - beta2 ** step),
  };
}

const kernel = defineKernel<'param' | 'grad' | 'm' | 'v', Betas & Factors & { readonly gradScale: number }>({
  name: KernelName.AdamW,
  inputs: ['param', 'grad', 'm', 'v'],
  composed: ({ param, grad, m, v }, { beta1, beta2, eps, shrink, stepSize, correction, gradScale }) => {
    const g = gradScale === 1 ? grad : mul(grad, gradScale);
    const nextM = add(mul(m, beta1), mul(g, 1 - beta1));
    const nextV = add(mul(v, beta2), mul(square(g), 1 - beta2));
    const denominator = add(mul(sqrt(nextV), correction), eps);
    const decayed = shrink === 1 ? param : mul(param, shrink);
    return [sub(decayed, mul(div(nextM, denominator), stepSize)), nextM, nextV];
  },
});

/**
 * One AdamW update of one tensor, as torch.optim.AdamW computes it; all four tensors have one shape. Returns new
 * tensors and leaves the old ones alone.
 * @throws ShapeError; ConfigError for a step before the first
 */
export function adamW(
  param: Tensor,
  grad: Tensor,
  m: Tensor,
  v: Tensor,
  options: AdamWOptions,
): { param: Tensor; m: Tensor; v: Tensor } {
  for (const [name, tensor] of Object.entries({ grad, m, v })) requireFloats('adamW', name, tensor, param.shape);
  const attrs = { ...options, ...factorsOf(options), gradScale: options.gradScale ?? 1 };
  const [nextParam, nextM, nextV] = kernel({ param, grad, m, v }, attrs);
  return { param: nextParam as Tensor, m: nextM as Tensor, v: nextV as Tensor };
}

/** One parameter of {@link adamWAll}: all of one shape, moments updated like the parameter. */
export interface AdamWTensors {
  readonly param: Variable;
  readonly grad: Tensor;
  readonly m: Variable;
  readonly v: Variable;
}

export interface AdamWParameter extends AdamWTensors {
  readonly weightDecay: number;
  readonly step: number;
}

export interface AdamWAllOptions extends Betas {
  readonly lr: number;
  /** As a tensor, see {@link clipScale}: where it is NaN, nothing changes. */
  readonly gradScale?: number | Scalar;
}

/**
 * {@link adamW} of a whole model: assigns new values to parameters and moments. One kernel, in place, where the backend
 * has it; else tensor by tensor.
 * @throws ShapeError; ConfigError for a step before the first
 */
export function adamWAll(parameters: readonly AdamWParameter[], options: AdamWAllOptions): void {
  if (parameters.length === 0) return;
  const { lr, beta1, beta2, gradScale = 1 } = options;
  const rows = new Map<string, number>();
  const values: number[] = [];
  const withRows = parameters.map((each) => {
    const { weightDecay, step } = each;
    const key = `${weightDecay} ${step}`;
    const row = rows.get(key) ?? rows.size;
    if (row === rows.size) values.push(...adamWFactors({ lr, beta1, beta2, weightDecay, step }));
    rows.set(key, row);
    return { ...each, row };
  });
  tidy(() => {
    const factors = tensor2d(values, [rows.size, 3]);
    const scale = typeof gradScale === 'number' ? scalar(gradScale) : gradScale;
    adamWByFactors(withRows, { ...options, factors, gradScale: scale });
  });
}

/** A row of the factors of {@link adamWByFactors}. */
export function adamWFactors(options: Omit<AdamWOptions, 'eps' | 'gradScale'>): [number, number, number] {
  const { shrink, stepSize, correction } = factorsOf(options);
  return [shrink, stepSize, correction];
}

export interface AdamWByFactorsOptions extends Betas {
  /** [rows, 3]: of {@link adamWFactors} each. */
  readonly factors: Tensor2D;
  /** Where it is NaN, nothing changes. */
  readonly gradScale: Scalar;
}

const allKernel = defineKernel<string, Betas & { readonly rows: readonly number[] }>({
  name: KernelName.AdamWAll,
  inputs: [],
  composed: () => [],
});

/**
 * {@link adamWAll} with all that changes from step to step in tensors, so that a captured step (`captureKernels`) can be
 * fed with it. `row` says which factors are a parameter's. In a capture, {@link ownMemory} comes before it.
 * @throws ShapeError
 */
export function adamWByFactors(
  parameters: readonly (AdamWTensors & { readonly row: number })[],
  options: AdamWByFactorsOptions,
): void {
  if (parameters.length === 0) return;
  for (const { param, grad, m, v } of parameters)
    for (const [name, tensor] of Object.entries({ param, grad, m, v }))
      requireFloats('adamWAll', name, tensor, param.shape);
  if (!hasNativeKernel(KernelName.AdamWAll)) return updateEach(parameters, options);
  const { beta1, beta2, eps, factors, gradScale } = options;
  const inputs: Record<string, Tensor> = {};
  parameters.forEach(({ param, grad, m, v }, i) => {
    ownMemory([param, m, v]);
    Object.assign(inputs, { [`p${i}`]: param, [`g${i}`]: grad, [`m${i}`]: m, [`v${i}`]: v });
  });
  allKernel({ ...inputs, factors, gradScale }, { beta1, beta2, eps, rows: parameters.map(({ row }) => row) });
}

function updateEach(
  parameters: readonly (AdamWTensors & { readonly row: number })[],
  { factors, gradScale: scale, ...betas }: AdamWByFactorsOptions,
): void {
  const [gradScale, values] = [scale.dataSync()[0] as number, factors.dataSync()];
  if (Number.isNaN(gradScale)) return;
  for (const { param, grad, m, v, row } of parameters)
    tidy(() => {
      const [shrink = 1, stepSize = 0, correction = 1] = values.slice(3 * row, 3 * row + 3);
      const next = kernel({ param, grad, m, v }, { ...betas, shrink, stepSize, correction, gradScale });
      [param, m, v].forEach((each, i) => each.assign(next[i] as Tensor));
    });
}

/** Gives variables whose memory other tensors (clones) share copies of their own, before kernels write them in place. */
export function ownMemory(variables: readonly Variable[]): void {
  for (const variable of variables)
    if (engine().backend.refCount(variable.dataId) > 1) tidy(() => variable.assign(add(variable, 0)));
}
