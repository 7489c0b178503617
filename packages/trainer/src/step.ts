import { clipScale, globalNorm } from '@vwn/core';
import type { LanguageModel } from '@vwn/layers';
import { add, dispose, keep, mul, scalar, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { CapturedGradients } from './captured-gradients';
import { CapturedWholeStep } from './captured-whole-step';
import { gradientsOf, type Gradients } from './gradients';
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

type Batch = readonly Int32Array[];

/**
 * One update from one or more micro-batches (gradient accumulation): gradients of their mean loss, clipped by global
 * norm as torch.nn.utils.clip_grad_norm_ does, then AdamW. Leaves no tensors behind. For many steps on batches of one
 * shape, {@link CapturedTrainingStep} does the same faster.
 */
export function trainingStep(
  model: LanguageModel,
  optimizer: AdamWOptimizer,
  microBatches: readonly Batch[],
  settings: StepSettings,
): StepResult {
  const gradients = accumulate((batch) => gradientsOf(model, batch), microBatches);
  return update(model, optimizer, gradients, settings);
}

/**
 * Training steps as {@link trainingStep} takes them, with the same results, that are captured on the first batch and
 * replayed on further ones of its shape, where the backend can (vwn-cpu, vwn-cuda): nothing but native kernels then runs
 * in a step. Between steps it holds the gradients, and the memory of its activations; `dispose` lets go of both.
 */
export class CapturedTrainingStep {
  private readonly whole: CapturedWholeStep;
  /** Of steps that can't be captured as a whole: of several batches, or of experts. */
  private readonly gradients: CapturedGradients;
  private reason: string | undefined;

  constructor(
    private readonly model: LanguageModel,
    private readonly optimizer: AdamWOptimizer,
  ) {
    this.whole = new CapturedWholeStep(model, optimizer);
    this.gradients = new CapturedGradients(model);
  }

  run(microBatches: readonly Batch[], settings: StepSettings): StepResult {
    const [only] = microBatches;
    if (only && microBatches.length === 1 && this.whole.isPossible()) {
      const result = this.whole.run(only, settings);
      this.reason = this.whole.reason;
      return result;
    }
    const gradients = accumulate((batch) => this.gradients.of(batch), microBatches);
    this.reason = this.gradients.reason;
    return update(this.model, this.optimizer, gradients, settings);
  }

  /** Why the last step could not be captured, if it could not. */
  get notCaptured(): string | undefined {
    return this.reason;
  }

  dispose(): void {
    this.whole.dispose();
    this.gradients.dispose();
  }
}

function update(
  model: LanguageModel,
  optimizer: AdamWOptimizer,
  { losses: all, grads, release }: Gradients,
  { lr, maxGradNorm }: StepSettings,
): StepResult {
  const [loss = Number.NaN, ...losses] = all;
  const result = tidy(() => {
    const norm = globalNorm([...grads.values()]);
    const gradNorm = norm.dataSync()[0] as number;
    const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
    if (finite) optimizer.update(model.trainableVariables(), grads, lr, clipScale(norm, scalar(loss), maxGradNorm));
    return { loss, losses, gradNorm, finite };
  });
  release();
  return result;
}

/** Means over micro-batches. */
function accumulate(gradientsOfBatch: (batch: Batch) => Gradients, microBatches: readonly Batch[]): Gradients {
  const [first] = microBatches;
  if (first && microBatches.length === 1) return gradientsOfBatch(first);
  const share = 1 / microBatches.length;
  const sums = new Map<string, Tensor>();
  let values: number[] = [];
  for (const batch of microBatches) {
    const { grads, losses, release } = gradientsOfBatch(batch);
    values = losses.map((loss, i) => (values[i] ?? 0) + loss * share);
    for (const [name, grad] of grads) addTo(sums, name, grad, share);
    release();
  }
  return { losses: values, grads: sums, release: () => dispose([...sums.values()]) };
}

function addTo(sums: Map<string, Tensor>, name: string, grad: Tensor, share: number): void {
  const before = sums.get(name);
  const sum = tidy(() => keep(before ? add(before, mul(grad, share)) : mul(grad, share)));
  before?.dispose();
  sums.set(name, sum);
}
