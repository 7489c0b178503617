import type { StepMetrics, TrainConfig } from '@vwn/trainer';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TrainingProgress } from '../src/terminal/training-progress';

const config = { train: { max_steps: 4 } } as TrainConfig;
const metrics = (step: number, evalLoss?: number): StepMetrics => ({
  step,
  tokens: step,
  loss: 2,
  losses: [2],
  lr: 1e-3,
  grad_norm: 1,
  step_ms: 1,
  tokens_per_s: 1000,
  ...(evalLoss === undefined ? {} : { eval_loss: evalLoss }),
});

/** Shows the events that `drive` sends and returns what was written. */
function written(drive: (progress: TrainingProgress, passes: (ms: number) => void) => void): string {
  let [now, text] = [0, ''];
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  drive(new TrainingProgress(config), (ms) => (now += ms));
  return text;
}

const prepared = { type: 'prepared', step: 0, parameters: 1, trainTokens: 1, heldOutTokens: 1 } as const;

describe('the line of a step', () => {
  afterEach(() => vi.restoreAllMocks());

  it('shows the held-out loss after that step, not an earlier one', () => {
    const text = written((progress) => {
      progress.show(prepared);
      progress.show({ type: 'step', metrics: metrics(2, 1.75) });
      progress.show({ type: 'evaluated', step: 2, tokens: 2, loss: 1.75 });
      progress.show({ type: 'step', metrics: metrics(4, 1.5) });
    });
    expect(text).toMatch(/step 4\/4 .* held out 1\.500/);
  });

  it('expects the steps that are left to take as long as those that were taken, whatever preparing took', () => {
    const text = written((progress, passes) => {
      passes(600_000);
      progress.show(prepared);
      passes(10_000);
      progress.show({ type: 'step', metrics: metrics(1) });
    });
    expect(text).toMatch(/step 1\/4 .* ETA 0:30/);
  });
});
