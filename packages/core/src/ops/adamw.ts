import { add, div, engine, mul, sqrt, square, sub, tidy, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { defineKernel, hasNativeKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireShape } from './internal/shapes';

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

const kernel = defineKernel<'param' | 'grad' | 'm' | 'v', Required<AdamWOptions>>({
  name: KernelName.AdamW,
  inputs: ['param', 'grad', 'm', 'v'],
  composed: ({ param, grad, m, v }, { lr, beta1, beta2, eps, weightDecay, step, gradScale }) => {
    const g = gradScale === 1 ? grad : mul(grad, gradScale);
    const nextM = add(mul(m, beta1), mul(g, 1 - beta1));
    const nextV = add(mul(v, beta2), mul(square(g), 1 - beta2));
    const correction1 = 1 - beta1 ** step;
    const correction2 = 1 - beta2 ** step;
    const denominator = add(mul(sqrt(nextV), 1 / Math.sqrt(correction2)), eps);
    const decayed = weightDecay === 0 ? param : mul(param, 1 - lr * weightDecay);
    return [sub(decayed, mul(div(nextM, denominator), lr / correction1)), nextM, nextV];
  },
});

/**
 * One AdamW update of one tensor, as torch.optim.AdamW computes it; all four tensors have one shape. Returns new
 * tensors and leaves the old ones alone.
 * @throws ShapeError
 */
export function adamW(
  param: Tensor,
  grad: Tensor,
  m: Tensor,
  v: Tensor,
  options: AdamWOptions,
): { param: Tensor; m: Tensor; v: Tensor } {
  for (const [name, tensor] of Object.entries({ grad, m, v })) requireShape('adamW', name, tensor, param.shape);
  const [nextParam, nextM, nextV] = kernel({ param, grad, m, v }, { gradScale: 1, ...options });
  return { param: nextParam as Tensor, m: nextM as Tensor, v: nextV as Tensor };
}

/** One parameter of {@link adamWAll}: all of one shape, moments updated like the parameter. */
export interface AdamWParameter {
  readonly param: Variable;
  readonly grad: Tensor;
  readonly m: Variable;
  readonly v: Variable;
  readonly weightDecay: number;
  readonly step: number;
}

export type AdamWAllOptions = Omit<AdamWOptions, 'weightDecay' | 'step'>;

const allKernel = defineKernel<string, Required<AdamWAllOptions> & { readonly perTensor: readonly number[] }>({
  name: KernelName.AdamWAll,
  inputs: [],
  composed: () => [],
});

/**
 * {@link adamW} of a whole model: assigns new values to parameters and moments. One kernel, in place, where the backend
 * has it; else tensor by tensor.
 */
export function adamWAll(parameters: readonly AdamWParameter[], options: AdamWAllOptions): void {
  if (parameters.length === 0) return;
  if (!hasNativeKernel(KernelName.AdamWAll)) return parameters.forEach((each) => updateOne(each, options));
  const inputs: Record<string, Tensor> = {};
  parameters.forEach(({ param, grad, m, v }, i) => {
    for (const variable of [param, m, v]) detach(variable);
    Object.assign(inputs, { [`p${i}`]: param, [`g${i}`]: grad, [`m${i}`]: m, [`v${i}`]: v });
  });
  const perTensor = parameters.flatMap(({ weightDecay, step }) => [weightDecay, step]);
  allKernel(inputs, { gradScale: 1, ...options, perTensor });
}

function updateOne({ param, grad, m, v, weightDecay, step }: AdamWParameter, options: AdamWAllOptions): void {
  tidy(() => {
    const next = adamW(param, grad, m, v, { ...options, weightDecay, step });
    param.assign(next.param);
    m.assign(next.m);
    v.assign(next.v);
  });
}

/** A copy of its own for a variable whose memory another tensor (a clone) shares, before it is written in place. */
function detach(variable: Variable): void {
  if (engine().backend.refCount(variable.dataId) > 1) tidy(() => variable.assign(add(variable, 0)));
}
