import { ConfigError, getPrecision, NumericsError, setPrecision } from '@vwn/core';
import { LanguageModel } from '@vwn/layers';
import { loadWeights } from '@vwn/layers/checkpoint';
import { fingerprint, firstDifference, readTrainerState, restoreOptimizer, saveTrainingCheckpoint } from './checkpoint';
import { Batches } from './data/batches';
import { prepareData, type PreparedData } from './data/prepare';
import { tokenizerOfWeights } from './data/tokenizer-of-weights';
import type { TrainEvent } from './events';
import { HeldOut } from './held-out';
import { appendMetrics, type StepMetrics } from './log/metrics';
import { AdamWOptimizer } from './optimizer/adamw';
import { RunFolder } from './run-folder';
import { learningRate } from './schedule';
import { CapturedTrainingStep, type StepResult } from './step';
import type { TrainConfig } from './train-config';

export interface RunOptions {
  /** The run's folder: config.yaml, metrics.jsonl, checkpoint-<step>/. */
  readonly outDir: string;
  /** Go on from the newest complete checkpoint; from the start when there is none yet. */
  readonly resume?: boolean;
  /** Start from the weights of this checkpoint. */
  readonly init?: string;
  readonly onEvent?: (event: TrainEvent) => void;
  /** When aborted, the step under way is finished, a checkpoint saved, and the run ends. */
  readonly signal?: AbortSignal;
}

interface Outcome {
  readonly step: number;
  /** Total training loss of the last step. */
  readonly loss: number;
  /** Last held-out next-token loss, if anything is held out. */
  readonly evalLoss?: number;
}

export interface FinishedRun extends Outcome {
  readonly interrupted: false;
  /** The last checkpoint. */
  readonly checkpointDir: string;
}

/** Stopped by the signal before max_steps. */
export interface InterruptedRun extends Outcome {
  readonly interrupted: true;
  /** The last checkpoint; absent when no step was made, of which there is nothing to save. */
  readonly checkpointDir?: string;
}

export type TrainResult = FinishedRun | InterruptedRun;

/**
 * Trains a model as configured, on the current tfjs backend. Deterministic on one backend: the same configuration gives
 * the same losses, whether or not the run was killed and resumed in between.
 * @throws ConfigError, DataError, CheckpointError, StorageError, NumericsError; BackendError for a precision that the
 *   backend does not have
 */
export function train(config: TrainConfig, options: RunOptions & { readonly signal?: undefined }): Promise<FinishedRun>;
export function train(config: TrainConfig, options: RunOptions): Promise<TrainResult>;
export async function train(config: TrainConfig, options: RunOptions): Promise<TrainResult> {
  const before = getPrecision();
  const folder = new RunFolder(options.outDir);
  setPrecision(config.train.precision);
  try {
    const run = await Run.open(config, options, folder);
    return await run.toEnd().finally(() => run.dispose());
  } finally {
    folder.close();
    setPrecision(before);
  }
}

/** The windows that a run is trained and measured on. */
interface Windows {
  readonly batches: Batches;
  readonly heldOut: HeldOut | undefined;
}

/** One run in progress. */
class Run {
  private metrics: StepMetrics | undefined;
  private evalLoss: number | undefined;
  private lastSaved = 0;
  private readonly training: CapturedTrainingStep;

  private constructor(
    private readonly config: TrainConfig,
    private readonly options: RunOptions,
    private readonly folder: RunFolder,
    private readonly data: PreparedData,
    private readonly windows: Windows,
    private readonly model: LanguageModel,
    private readonly optimizer: AdamWOptimizer,
    private step: number,
  ) {
    this.lastSaved = step;
    this.training = new CapturedTrainingStep(model, optimizer);
  }

  static async open(config: TrainConfig, options: RunOptions, folder: RunFolder): Promise<Run> {
    await folder.open(options.resume ?? false);
    const from = options.resume ? (await folder.checkpoints()).at(-1) : undefined;
    const step = from ? await checkResumable(from.dir, config) : 0;
    const emit = (message: string) => options.onEvent?.({ type: 'preparing', message });
    if (options.resume) tellWhereFrom(folder, step, config, emit);
    const tokenizer = await tokenizerOfWeights(config, { init: options.init, resumed: from?.dir }, emit);
    const data = await prepareData(config, emit, tokenizer);
    const windows = windowsOf(config, data);
    const weights = from?.dir ?? options.init;
    const model = weights
      ? await loadWeights(weights, config.model)
      : new LanguageModel(config.model, { seed: config.train.seed });
    const optimizer = new AdamWOptimizer(config.train);
    if (from) await restoreOptimizer(from.dir, model, optimizer);
    return new Run(config, options, folder, data, windows, model, optimizer, step);
  }

  async toEnd(): Promise<TrainResult> {
    const { max_steps, save_steps, save_total_limit } = this.config.train;
    this.options.onEvent?.({
      type: 'prepared',
      step: this.step,
      parameters: this.model.parameters.count(),
      trainTokens: this.data.train.length,
      heldOutTokens: this.data.heldOut.length,
    });
    // The first turn may end before the system is asked for the signals that came during the preparations.
    for (let turn = 0; turn < 2; turn++) await letSignalsIn();
    if (this.goesOn()) await this.folder.begin(this.config, this.step);
    while (this.goesOn()) {
      this.oneStep();
      if (this.step % save_steps === 0 || this.step === max_steps) await this.save(save_total_limit);
      await letSignalsIn();
    }
    if (this.lastSaved !== this.step) await this.save(save_total_limit);
    return this.result();
  }

  private goesOn(): boolean {
    return this.step < this.config.train.max_steps && !this.options.signal?.aborted;
  }

  private result(): TrainResult {
    const { step, evalLoss, lastSaved } = this;
    const loss = this.metrics?.loss ?? Number.NaN;
    const outcome = { step, loss, ...(evalLoss === undefined ? {} : { evalLoss }) };
    const checkpointDir = this.folder.checkpointDir(lastSaved);
    if (step >= this.config.train.max_steps) return { ...outcome, checkpointDir, interrupted: false };
    return { ...outcome, ...(lastSaved > 0 ? { checkpointDir } : {}), interrupted: true };
  }

  dispose(): void {
    this.training.dispose();
    this.model.dispose();
    this.optimizer.dispose();
  }

  private oneStep(): void {
    const { train } = this.config;
    const started = performance.now();
    const step = this.step + 1;
    const lr = learningRate(step, train);
    const accumulated = train.gradient_accumulation_steps;
    const micro = Array.from({ length: accumulated }, (_, i) =>
      this.windows.batches.batch(this.step * accumulated + i),
    );
    const result = this.training.run(micro, { lr, maxGradNorm: train.max_grad_norm });
    if (!result.finite) throw this.notFinite(step, lr, result);
    this.step = step;
    const stepMs = performance.now() - started;
    const stepTokens = train.batch_size * train.sequence_length * accumulated;
    const metrics: StepMetrics = {
      step,
      tokens: step * stepTokens,
      loss: result.loss,
      losses: result.losses,
      lr,
      grad_norm: result.gradNorm,
      step_ms: Math.round(stepMs * 100) / 100,
      tokens_per_s: Math.round((stepTokens / stepMs) * 1e4) / 10,
    };
    this.record(metrics);
  }

  private record(metrics: StepMetrics): void {
    const { heldOut } = this.windows;
    const { step, tokens } = metrics;
    const { eval_steps, max_steps } = this.config.train;
    const evaluates = heldOut && (step % eval_steps === 0 || step === max_steps);
    if (evaluates) this.evalLoss = this.heldOutLoss(heldOut, metrics);
    this.metrics = evaluates ? { ...metrics, eval_loss: this.evalLoss as number } : metrics;
    appendMetrics(this.folder.metricsFile, this.metrics);
    this.options.onEvent?.({ type: 'step', metrics: this.metrics });
    if (evaluates) this.options.onEvent?.({ type: 'evaluated', step, tokens, loss: this.evalLoss as number });
  }

  private async save(limit: number): Promise<void> {
    const dir = this.folder.checkpointDir(this.step);
    const { batch_size, sequence_length, gradient_accumulation_steps, max_steps } = this.config.train;
    const state = {
      global_step: this.step,
      max_steps,
      num_input_tokens_seen: this.step * batch_size * sequence_length * gradient_accumulation_steps,
      fingerprint: fingerprint(this.config),
    };
    await saveTrainingCheckpoint(dir, this.model, this.optimizer, state, this.data.tokenizer);
    this.lastSaved = this.step;
    await this.folder.prune(limit);
    this.options.onEvent?.({ type: 'saved', step: this.step, dir });
  }

  /** @throws NumericsError, before weights that are no numbers are saved */
  private heldOutLoss(heldOut: HeldOut, { step, lr }: StepMetrics): number {
    const loss = heldOut.loss(this.model);
    if (Number.isFinite(loss)) return loss;
    throw new NumericsError(`training broke down at step ${step}`, {
      expected: 'a finite held-out loss',
      got: `${loss} after a step of learning rate ${lr}`,
      hint: `The step was applied and is not saved. ${this.remedy()}`,
    });
  }

  private remedy(): string {
    const last = this.lastSaved > 0 ? `; ${this.folder.checkpointDir(this.lastSaved)} is intact` : '';
    return `Lower train.learning_rate or train.weight_decay, or lengthen train.warmup_steps${last}`;
  }

  private notFinite(step: number, lr: number, { loss, gradNorm }: StepResult): NumericsError {
    return new NumericsError(`training broke down at step ${step}`, {
      expected: 'a finite loss and gradient',
      got: `loss ${loss}, gradient norm ${gradNorm} at learning rate ${lr}`,
      hint: `The step was not applied. ${this.remedy()}`,
    });
  }
}

/** Steps done at a checkpoint. @throws ConfigError when it belongs to another model or data configuration */
async function checkResumable(dir: string, config: TrainConfig): Promise<number> {
  const state = await readTrainerState(dir);
  const difference = firstDifference(state.fingerprint, fingerprint(config));
  if (difference === undefined) return state.global_step;
  throw new ConfigError(`cannot resume ${dir} with another configuration`, {
    got: difference,
    hint: 'Put the setting back, or start a new run from these weights with --init',
  });
}

/** @throws DataError when either part of the text is too short */
function windowsOf({ data, model, train }: TrainConfig, tokens: PreparedData): Windows {
  const { batch_size: batchSize, sequence_length: sequenceLength, seed } = train;
  const options = { batchSize, sequenceLength, extraTokens: 1 + model.num_nextn_predict_layers, seed };
  const batches = new Batches(tokens.train, options);
  return {
    batches,
    heldOut: data.holdout === 0 ? undefined : new HeldOut(tokens.heldOut, options, train.eval_batches),
  };
}

/** Where a run that was to go on has nothing to go on from, or nowhere to go, the reader would wonder. */
function tellWhereFrom({ dir }: RunFolder, step: number, { train }: TrainConfig, emit: (message: string) => void) {
  if (step === 0) emit(`${dir} has no checkpoint to go on from: starting from the beginning`);
  if (step >= train.max_steps)
    emit(`step ${step} of train.max_steps = ${train.max_steps} is reached: nothing to do (to go on, raise it)`);
}

function letSignalsIn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
