export interface Schedule {
  readonly learning_rate: number;
  readonly lr_scheduler_type: 'cosine' | 'constant';
  readonly min_lr_ratio: number;
  readonly warmup_steps: number;
  readonly max_steps: number;
}

/**
 * Learning rate of a step, counted from 1: linear warm-up from lr/warmup_steps to lr, then constant, or half a cosine
 * down to `min_lr_ratio · lr` at max_steps.
 */
export function learningRate(
  step: number,
  { learning_rate: lr, lr_scheduler_type, min_lr_ratio, warmup_steps, max_steps }: Schedule,
): number {
  if (step <= warmup_steps) return (lr * step) / warmup_steps;
  if (lr_scheduler_type === 'constant') return lr;
  const progress = Math.min(1, (step - warmup_steps) / Math.max(1, max_steps - warmup_steps));
  return lr * (min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
