import { clipScale, globalNorm } from '@vwn/core';
import { idsTensor, type LanguageModel } from '@vwn/layers';
import { keep, tensor2d, tidy, type Scalar, type Tensor, type Tensor2D } from '@tensorflow/tfjs-core';
import { CapturedRun } from './captured-run';
import { freePasses, runPasses, type Passes } from './gradients';
import type { AdamWOptimizer } from './optimizer/adamw';
import type { StepResult, StepSettings } from './step';

/** What a step leaves, all of it kept. */
interface Outcome extends Passes {
  readonly norm: Scalar;
}

/**
 * Training steps of one batch that are captured as a whole, clipping and AdamW included: rate and bias corrections are
 * fed, and where loss or norm is not finite the kernels themselves change nothing. So a step waits for no number.
 */
export class CapturedWholeStep {
  private readonly steps = new CapturedRun<Outcome>((outcome) => {
    outcome.norm.dispose();
    freePasses(outcome);
  });
  /** A constant of the capture. */
  private maxGradNorm = 0;

  constructor(
    private readonly model: LanguageModel,
    private readonly optimizer: AdamWOptimizer,
  ) {}

  /** Why the last step was not captured. */
  get reason(): string | undefined {
    return this.steps.reason;
  }

  /** Experts are updated or not by how many tokens they got, and after that have had different numbers of updates. */
  isPossible(): boolean {
    const { model, optimizer } = this;
    return model.config.num_local_experts === 0 && optimizer.commonStep(model.trainableVariables()) !== undefined;
  }

  /** @throws ShapeError for ids out of the vocabulary or rows of different lengths */
  run(batch: readonly Int32Array[], { lr, maxGradNorm }: StepSettings): StepResult {
    if (maxGradNorm !== this.maxGradNorm) this.steps.dispose();
    this.maxGradNorm = maxGradNorm;
    const variables = this.model.trainableVariables();
    const ids = idsTensor(batch, this.model.config.vocab_size);
    const factors = tensor2d(this.optimizer.factors(lr, this.optimizer.commonStep(variables) ?? 0), [2, 3]);
    const outcome = this.steps.run(
      [ids, factors],
      () => ({ state: [], written: this.optimizer.prepare(variables) }),
      (feeds) => this.step(...(feeds as [Tensor, Tensor2D])),
    );
    return this.resultOf(outcome);
  }

  dispose(): void {
    this.steps.dispose();
  }

  private step(ids: Tensor, factors: Tensor2D): Outcome {
    const passes = runPasses(this.model, ids);
    const norm = keep(globalNorm([...passes.grads.values()]));
    tidy(() => {
      const gradScale = clipScale(norm, passes.losses[0] as Scalar, this.maxGradNorm);
      this.optimizer.updateBy(this.model.trainableVariables(), passes.grads, { factors, gradScale });
    });
    return { ...passes, norm };
  }

  private resultOf(outcome: Outcome): StepResult {
    const [loss = Number.NaN, ...losses] = outcome.losses.map((each) => each.dataSync()[0] as number);
    const gradNorm = outcome.norm.dataSync()[0] as number;
    const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
    if (finite) this.optimizer.count(this.model.trainableVariables().filter(([name]) => outcome.grads.has(name)));
    this.steps.release(outcome);
    return { loss, losses, gradNorm, finite };
  }
}
