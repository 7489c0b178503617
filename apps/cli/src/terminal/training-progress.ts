import type { TrainConfig, TrainEvent } from '@vwn/trainer';
import { count } from './format';
import { Progress } from './progress';

/** Shows the events of a training run: what was prepared, a live line a step, held-out losses, saved checkpoints. */
export class TrainingProgress {
  private progress: Progress;
  private first = 0;
  private heldOut = '';

  constructor(
    private readonly config: TrainConfig,
    private readonly label = 'step',
  ) {
    this.progress = this.begin();
  }

  show(event: TrainEvent): void {
    switch (event.type) {
      case 'preparing':
        return this.line(event.message);
      case 'prepared':
        this.first = event.step;
        this.line(
          `${count(event.parameters)} parameters, ${count(event.trainTokens)} training tokens, ${count(event.heldOutTokens)} held out` +
            (event.step > 0 ? `, going on from step ${event.step}` : ''),
        );
        this.progress = this.begin(); // no step has taken the time that went into preparing
        return;
      case 'step':
        if (event.metrics.eval_loss !== undefined) this.heldOut = `  held out ${event.metrics.eval_loss.toFixed(3)}`;
        return this.progress.update(
          event.metrics.step,
          `loss ${event.metrics.loss.toFixed(3)}${this.heldOut}  lr ${event.metrics.lr.toExponential(1)}  ${count(event.metrics.tokens_per_s)} tok/s`,
          this.first,
        );
      case 'evaluated':
      case 'saved':
        return;
    }
  }

  finish(): void {
    this.progress.finish();
  }

  private begin(): Progress {
    return new Progress(this.label, this.config.train.max_steps);
  }

  private line(text: string): void {
    this.progress.finish();
    process.stderr.write(`${text}\n`);
  }
}
