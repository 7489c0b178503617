import { parseTrainConfig, type TrainConfig } from '@vwn/trainer';

export interface Contestant {
  readonly name: string;
  readonly folder: string;
  readonly virtualWidth?: { readonly m: number; readonly n: number };
}

/** The plain transformer first: its final loss is what the others' token counts are measured against. */
export const contestants: readonly Contestant[] = [
  { name: 'plain transformer', folder: 'plain' },
  { name: 'VWN ×4 (m=4, n=16)', folder: 'vwn-4x', virtualWidth: { m: 4, n: 16 } },
];

/**
 * A backbone that two cores train in seconds on vwn-cpu and in minutes on the stock wasm backend; everything but the
 * virtual width is equal.
 */
export function quickstartConfig({ virtualWidth }: Contestant, steps: number, tokenizer?: string): TrainConfig {
  const evalSteps = Math.max(1, Math.round(steps / 12));
  return parseTrainConfig(
    {
      model: {
        vocab_size: 2048,
        hidden_size: 64,
        intermediate_size: 176,
        num_hidden_layers: 4,
        num_attention_heads: 2,
        ...(virtualWidth ? { virtual_width: virtualWidth } : {}),
      },
      data: { corpus: 'sotu', tokenizer: tokenizer ?? { vocab_size: 2048 } },
      train: {
        batch_size: 16,
        sequence_length: 64,
        max_steps: steps,
        learning_rate: 0.003,
        warmup_steps: Math.min(20, steps),
        eval_steps: evalSteps,
        eval_batches: 4,
        save_steps: steps,
        seed: 1,
      },
    },
    { source: 'quickstart' },
  );
}
