import type { Precision } from '@vwn/core';
import type { OpCase } from '@vwn/core/testing';
import type { Peaks } from './peaks';
import type { Timing } from './rounds';
import { significant, type Spread } from './statistics';

/** One case on one contender, as it stands in the result file. */
export interface CaseResult {
  readonly case: string;
  readonly op: string;
  readonly backend: string;
  readonly forward_ms: Spread;
  readonly backward_ms: Spread;
  /** Calls in each of the samples that the spreads are over. */
  readonly calls: { readonly forward: number; readonly backward: number };
  readonly bytes: number;
  readonly gb_per_s: number;
  readonly flops?: number;
  readonly forward_gflops_per_s?: number;
  /** Counted as twice the forward FLOPs. */
  readonly backward_gflops_per_s?: number;
  /** Of the forward call: the larger of its shares of the arithmetic and of the copying peak. */
  readonly share_of_peak?: { readonly share: number; readonly of: 'fp32' | 'bf16' | 'copy' };
  /** How many times as fast as the first contender that has the operation. */
  readonly ratio?: { readonly forward: number; readonly backward: number };
}

/** Rates, shares and ratios of one case's timings, the first of which is the one compared with. */
export function caseResults(
  { name, op, flops }: OpCase,
  timings: readonly Timing[],
  { peaks, precision }: { peaks?: Peaks | undefined; precision: Precision },
): CaseResult[] {
  return timings.map((timing, i) => {
    const { contender, bytes, forward, backward, calls } = timing;
    const gb = rate(bytes, forward.median);
    const gflops = flops ? rate(flops, forward.median) : undefined;
    const share = peaks && contender.onProcessor ? shareOfPeak(gflops, gb, peaks, precision) : undefined;
    return {
      case: name,
      op,
      backend: contender.name,
      forward_ms: rounded(forward),
      backward_ms: rounded(backward),
      calls,
      bytes,
      gb_per_s: significant(gb),
      ...(gflops !== undefined && flops
        ? {
            flops,
            forward_gflops_per_s: significant(gflops),
            backward_gflops_per_s: significant(rate(2 * flops, backward.median)),
          }
        : {}),
      ...(share ? { share_of_peak: share } : {}),
      ...(i > 0 ? { ratio: ratioTo(timings[0] as Timing, timing) } : {}),
    };
  });
}

/** Things in milliseconds to 10⁹ things a second. */
function rate(amount: number, ms: number): number {
  return amount / ms / 1e6;
}

/** What limits an operation is the peak that it comes nearer to. */
function shareOfPeak(
  gflops: number | undefined,
  gb: number,
  { fp32GflopsPerSecond, bf16GflopsPerSecond, copyGbPerSecond }: Peaks,
  precision: Precision,
): NonNullable<CaseResult['share_of_peak']> {
  const half = precision === 'bf16' ? bf16GflopsPerSecond : undefined;
  const arithmetic = (gflops ?? 0) / (half ?? fp32GflopsPerSecond);
  const copying = gb / copyGbPerSecond;
  if (copying > arithmetic) return { share: significant(copying, 3), of: 'copy' };
  return { share: significant(arithmetic, 3), of: half === undefined ? 'fp32' : 'bf16' };
}

function ratioTo(first: Timing, timing: Timing): { forward: number; backward: number } {
  return {
    forward: significant(first.forward.median / timing.forward.median, 3),
    backward: significant(first.backward.median / timing.backward.median, 3),
  };
}

function rounded({ min, q1, median, q3, max }: Spread): Spread {
  return {
    min: significant(min),
    q1: significant(q1),
    median: significant(median),
    q3: significant(q3),
    max: significant(max),
  };
}
