import type { StepMetrics } from './log/metrics';

/** What a run tells while it goes on; nothing is ever printed by the trainer itself. */
export type TrainEvent =
  | { readonly type: 'preparing'; readonly message: string }
  | {
      readonly type: 'prepared';
      /** Steps already done: 0, or those of the checkpoint a run goes on from. */
      readonly step: number;
      readonly parameters: number;
      readonly trainTokens: number;
      readonly heldOutTokens: number;
    }
  | { readonly type: 'step'; readonly metrics: StepMetrics }
  | { readonly type: 'evaluated'; readonly step: number; readonly tokens: number; readonly loss: number }
  | { readonly type: 'saved'; readonly step: number; readonly dir: string };
