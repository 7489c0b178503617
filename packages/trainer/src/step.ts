import { globalNorm } from '@vwn/core';
import { unreachedExperts, type LanguageModel } from '@vwn/layers';
import {
  add,
  dispose,
  keep,
  mul,
  tidy,
  variableGrads,
  type Scalar,
  type Tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import type { AdamWOptimizer } from './optimizer/adamw';

export interface StepSettings {
  readonly lr: number;
  /** Gradients of a larger global norm are scaled down to it; 0 leaves them alone. */
  readonly maxGradNorm: number;
}

export interface StepResult {
  /** Mean total loss of the micro-batches. */
  readonly loss: number;
  /** Next-token loss, next-2-token loss, …. */
  readonly losses: readonly number[];
  /** Global norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** Whether loss and gradient were finite; if not, no parameter was changed. */
  readonly finite: boolean;
}

/**
 * One update from one or more micro-batches (gradient accumulation): gradients of their mean loss, clipped by global
 * norm as torch.nn.utils.clip_grad_norm_ does, then AdamW. Leaves no tensors behind.
 */
export function trainingStep(
  model: LanguageModel,
  optimizer: AdamWOptimizer,
  microBatches: readonly (readonly Int32Array[])[],
  { lr, maxGradNorm }: StepSettings,
): StepResult {
  const { grads, values } = accumulate(model, microBatches);
  const all = [...grads.values()];
  const gradNorm = tidy(() => globalNorm(all).dataSync()[0] as number);
  const [loss = Number.NaN, ...losses] = values;
  const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
  if (finite) {
    const gradScale = maxGradNorm > 0 ? Math.min(1, maxGradNorm / (gradNorm + 1e-6)) : 1;
    optimizer.update(model.trainableVariables(), grads, lr, gradScale);
  }
  dispose(all);
  return { loss, losses, gradNorm, finite };
}

/** Mean over micro-batches of gradients by name, and of [total, losses…]. */
function accumulate(model: LanguageModel, microBatches: readonly (readonly Int32Array[])[]) {
  const share = 1 / microBatches.length;
  const sums = new Map<string, Tensor>();
  let values: number[] = [];
  for (const batch of microBatches) {
    const { grads, losses } = lossAndGradients(model, batch);
    values = losses.map((loss, i) => (values[i] ?? 0) + loss * share);
    for (const [name, grad] of grads) addTo(sums, name, grad, share);
  }
  return { grads: sums, values };
}

function addTo(sums: Map<string, Tensor>, name: string, grad: Tensor, share: number): void {
  const before = sums.get(name);
  if (share === 1) return void sums.set(name, grad);
  sums.set(
    name,
    tidy(() => keep(before ? add(before, mul(grad, share)) : mul(grad, share))),
  );
  dispose(before ? [before, grad] : grad);
}

function lossAndGradients(model: LanguageModel, batch: readonly Int32Array[]) {
  const variables = model.trainableVariables();
  let parts: readonly Scalar[] = [];
  let shares: Tensor | undefined;
  const { value, grads } = variableGrads(
    () => {
      const { total, losses, expertShares } = model.loss(batch);
      parts = losses.map((each) => keep(each));
      shares = expertShares && keep(expertShares);
      return total;
    },
    variables.map(([, variable]) => variable),
  );
  const losses = [value, ...parts].map((each) => each.dataSync()[0] as number);
  const unreached = shares
    ? unreachedExperts(
        variables.map(([name]) => name),
        shares,
      )
    : new Set<string>();
  dispose([value, ...parts, ...(shares ? [shares] : [])]);
  return { losses, grads: byName(variables, grads, unreached) };
}

/** Gradients by name, without those of parameters that no token has reached. */
function byName(
  variables: readonly (readonly [string, Variable])[],
  grads: Readonly<Record<string, Tensor>>,
  unreached: ReadonlySet<string>,
): Map<string, Tensor> {
  const reached = new Map<string, Tensor>();
  for (const [name, variable] of variables) {
    const grad = grads[variable.name];
    if (grad && unreached.has(name)) grad.dispose();
    else if (grad) reached.set(name, grad);
  }
  return reached;
}
