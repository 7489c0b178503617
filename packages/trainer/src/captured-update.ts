import { captureKernels, clipScale, globalNorm, type KernelCapture } from '@vwn/core';
import { idsTensor, type LanguageModel } from '@vwn/layers';
import { dispose, keep, tensor2d, tidy, type Scalar, type Tensor, type Tensor2D } from '@tensorflow/tfjs-core';
import { runPasses, type Passes } from './gradients';
import type { AdamWOptimizer } from './optimizer/adamw';
import type { StepResult, StepSettings } from './step';

/** What a step leaves, all of it kept. */
interface Outcome extends Passes {
  readonly norm: Scalar;
}

/** What a step is fed with. */
interface Feeds {
  readonly ids: Tensor;
  /** Of parameters that decay, and of the others. */
  readonly factors: Tensor2D;
}

interface CapturedOutcome {
  readonly capture: KernelCapture;
  readonly feeds: Feeds;
  readonly outcome: Outcome;
  readonly maxGradNorm: number;
}

/**
 * Training steps of one batch that are captured as a whole, clipping and AdamW included: rate and bias corrections are
 * fed, and where loss or norm is not finite the kernels themselves change nothing. So a step waits for no number.
 */
export class CapturedUpdate {
  private captured: CapturedOutcome | undefined;
  /** Why the last step was not captured. */
  reason: string | undefined;

  constructor(
    private readonly model: LanguageModel,
    private readonly optimizer: AdamWOptimizer,
  ) {}

  /** Experts are updated or not by how many tokens they got, and after that have had different numbers of updates. */
  isPossible(): boolean {
    const { model, optimizer } = this;
    return model.config.num_local_experts === 0 && optimizer.commonStep(model.trainableVariables()) !== undefined;
  }

  /** @throws ShapeError for ids out of the vocabulary or rows of different lengths */
  run(batch: readonly Int32Array[], settings: StepSettings): StepResult {
    const ids = idsTensor(batch, this.model.config.vocab_size);
    const step = this.optimizer.commonStep(this.model.trainableVariables()) ?? 0;
    const factors = this.optimizer.factors(settings.lr, step);
    const replayed = this.replay(ids, factors, settings);
    if (replayed) ids.dispose();
    const outcome = replayed ?? this.capture({ ids: keep(ids), factors: keep(tensor2d(factors, [2, 3])) }, settings);
    return this.resultOf(outcome);
  }

  dispose(): void {
    const { captured } = this;
    this.captured = undefined;
    if (!captured) return;
    captured.capture.dispose();
    dispose([captured.feeds.ids, captured.feeds.factors]);
    this.release(captured.outcome);
  }

  private replay(ids: Tensor, factors: readonly number[], { maxGradNorm }: StepSettings): Outcome | undefined {
    const { captured } = this;
    if (!captured || captured.maxGradNorm !== maxGradNorm) return undefined;
    if (String(captured.feeds.ids.shape) !== String(ids.shape)) return undefined;
    return captured.capture.replay([ids.dataSync<'int32'>(), factors]) ? captured.outcome : undefined;
  }

  private capture(feeds: Feeds, { maxGradNorm }: StepSettings): Outcome {
    this.dispose();
    const written = this.optimizer.prepare(this.model.trainableVariables());
    const { ids, factors } = feeds;
    try {
      const { result, capture, reason } = captureKernels({ feeds: [ids, factors], state: [], written }, () =>
        this.step(feeds, maxGradNorm),
      );
      this.reason = reason;
      if (capture) this.captured = { capture, feeds, outcome: result, maxGradNorm };
      return result;
    } finally {
      if (!this.captured) dispose([ids, factors]);
    }
  }

  private step({ ids, factors }: Feeds, maxGradNorm: number): Outcome {
    const variables = this.model.trainableVariables();
    const passes = runPasses(this.model, ids);
    const norm = keep(globalNorm([...passes.grads.values()]));
    tidy(() => {
      const gradScale = clipScale(norm, passes.losses[0] as Scalar, maxGradNorm);
      this.optimizer.updateBy(variables, passes.grads, { factors, gradScale });
    });
    return { ...passes, norm };
  }

  private resultOf(outcome: Outcome): StepResult {
    const [loss = Number.NaN, ...losses] = outcome.losses.map((each) => each.dataSync()[0] as number);
    const gradNorm = outcome.norm.dataSync()[0] as number;
    const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
    if (finite) this.optimizer.count(this.model.trainableVariables().filter(([name]) => outcome.grads.has(name)));
    this.release(outcome);
    return { loss, losses, gradNorm, finite };
  }

  /** Frees what no replay will write again. */
  private release(outcome: Outcome): void {
    if (outcome === this.captured?.outcome) return;
    const { losses, norm, expertShares, grads } = outcome;
    dispose([...losses, norm, ...(expertShares ? [expertShares] : []), ...grads.values()]);
  }
}
