import { Rng } from '@vwn/core';
import { generate } from '@vwn/layers';
import { requireNotTraining, train, type TrainEvent } from '@vwn/trainer';
import { join } from 'node:path';
import { removeFolder } from '../files';
import { openModel } from '../model';
import { TrainingProgress } from '../terminal/training-progress';
import type { Outcome } from './comparison';
import { requireReplaceable } from './earlier-run';
import { contestants, quickstartConfig, type Contestant } from './settings';

export interface ContestantOutcome extends Outcome {
  readonly checkpointDir: string;
}

export interface Race {
  readonly out: string;
  readonly steps: number;
  /** Replace the contestants' folders, whatever they hold. */
  readonly force?: boolean | undefined;
}

/**
 * Trains all contestants one after the other on the same batches; the first one's tokenizer serves all.
 * @throws ConfigError, before anything is deleted, where a process is training into a contestant's folder, or it holds
 *   what is not an earlier quickstart
 */
export async function runContestants({ out, steps, force = false }: Race): Promise<ContestantOutcome[]> {
  const outcomes: ContestantOutcome[] = [];
  for (const contestant of contestants) {
    const dir = join(out, contestant.folder);
    requireNotTraining(dir);
    if (!force) requireReplaceable(dir, contestant);
  }
  for (const contestant of contestants) {
    const first = outcomes[0];
    const tokenizer = first && join(first.checkpointDir, 'tokenizer.json');
    outcomes.push(await runOne(contestant, join(out, contestant.folder), steps, tokenizer));
  }
  return outcomes;
}

async function runOne(
  contestant: Contestant,
  outDir: string,
  steps: number,
  tokenizer?: string,
): Promise<ContestantOutcome> {
  process.stderr.write(`\n${contestant.name}\n`);
  removeFolder(outDir);
  const config = quickstartConfig(contestant, steps, tokenizer);
  const progress = new TrainingProgress(config);
  const recorder = new Recorder();
  const result = await train(config, {
    outDir,
    onEvent: (event) => {
      progress.show(event);
      recorder.record(event);
    },
  });
  progress.finish();
  return { name: contestant.name, checkpointDir: result.checkpointDir, ...recorder.outcome() };
}

/** Collects what the comparison needs from a run's events. */
class Recorder {
  private parameters = 0;
  private readonly stepTimes: number[] = [];
  private readonly heldOut: { tokens: number; loss: number }[] = [];
  private readonly training: { tokens: number; loss: number }[] = [];

  record(event: TrainEvent): void {
    if (event.type === 'prepared') this.parameters = event.parameters;
    if (event.type === 'evaluated') this.heldOut.push({ tokens: event.tokens, loss: event.loss });
    if (event.type !== 'step') return;
    const { tokens, losses, step_ms } = event.metrics;
    this.stepTimes.push(step_ms);
    this.training.push({ tokens, loss: losses[0] as number });
  }

  outcome() {
    const { parameters, heldOut, training } = this;
    return { parameters, heldOut, training, stepMs: median(this.stepTimes) };
  }
}

export async function sampleText(checkpointDir: string, prompt: string, maxTokens = 60): Promise<string> {
  const { model, tokenizer } = await openModel(checkpointDir, { tokenizer: 'required' });
  const stream = tokenizer.streamDecoder();
  let text = '';
  const options = { maxTokens, temperature: 0.8, topP: 0.95, rng: Rng.fromSeed('quickstart') };
  for await (const id of generate(model, tokenizer.encode(prompt), options)) text += stream.push(id);
  model.dispose();
  return text + stream.end();
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
