import { tokensToReachLoss } from '@vwn/eval';
import { count } from '../terminal/format';

export interface Outcome {
  readonly name: string;
  readonly parameters: number;
  /** Median time of a training step. */
  readonly stepMs: number;
  /** Held-out next-token loss after so many training tokens. */
  readonly heldOut: readonly { readonly tokens: number; readonly loss: number }[];
  /** Training loss a step. */
  readonly training: readonly { readonly tokens: number; readonly loss: number }[];
}

export interface ComparisonRow {
  readonly name: string;
  readonly loss: number;
  /** Tokens until the held-out loss first met the first model's final one; undefined: not within this run. */
  readonly tokensToPlainLoss: number | undefined;
  readonly stepMs: number;
  readonly parameters: number;
}

export function compare(outcomes: readonly Outcome[]): ComparisonRow[] {
  const target = finalLoss(outcomes[0] as Outcome);
  return outcomes.map((each) => ({
    name: each.name,
    loss: finalLoss(each),
    tokensToPlainLoss: tokensToReachLoss(each.heldOut, target),
    stepMs: each.stepMs,
    parameters: each.parameters,
  }));
}

export function comparisonTable(rows: readonly ComparisonRow[]): string[][] {
  return [
    ['model', 'held-out loss', 'tokens to plain’s loss', 'ms per step', 'parameters'],
    ...rows.map((row) => [
      row.name,
      row.loss.toFixed(3),
      row.tokensToPlainLoss === undefined ? 'not reached' : count(row.tokensToPlainLoss),
      row.stepMs.toFixed(0),
      count(row.parameters),
    ]),
  ];
}

/** One sentence that says what the numbers say, also when they speak against virtual width. */
export function verdict(rows: readonly ComparisonRow[]): string {
  const [plain, wide] = rows as [ComparisonRow, ComparisonRow];
  const difference = plain.loss - wide.loss;
  if (difference <= 0)
    return `In this run ${wide.name} did not beat the ${plain.name} (${(-difference).toFixed(3)} nats behind).`;
  const saved =
    wide.tokensToPlainLoss === undefined || plain.tokensToPlainLoss === undefined
      ? ''
      : ` and reached that loss with ${(plain.tokensToPlainLoss / wide.tokensToPlainLoss).toFixed(2)} times fewer tokens`;
  return `${wide.name} ended ${difference.toFixed(3)} nats below the ${plain.name}${saved}.`;
}

function finalLoss({ heldOut }: Outcome): number {
  return heldOut.at(-1)?.loss ?? Number.NaN;
}
