import type { Precision } from '@vwn/core';
import type { OpCase } from '@vwn/core/testing';
import { openBackend } from './backend-contender';
import { selectCases } from './cases';
import type { Contender } from './contender';
import { describeCommit, describeMachine, type Machine } from './machine';
import { findPeaks, type Peaks } from './peaks';
import { openTorchPeer } from './peer';
import { caseResults, type CaseResult } from './result';
import { timeCase } from './rounds';
import { significant } from './statistics';

export interface BenchOptions {
  /** Names in order, the first being the one compared with; none: the first that works here. */
  readonly backends: readonly string[];
  readonly ops: readonly string[];
  readonly size: OpCase['size'];
  readonly precision: Precision;
  readonly repeat: number;
  readonly minTimeSeconds: number;
  readonly peer?: 'torch' | undefined;
  readonly python: string;
  readonly onProgress?: (done: number, total: number, name: string) => void;
}

/** The result file. */
export interface BenchReport {
  readonly date: string;
  readonly commit?: string;
  readonly machine: Machine;
  readonly options: {
    readonly backends: Record<string, Readonly<Record<string, string>>>;
    readonly ops: readonly string[];
    readonly size: OpCase['size'];
    readonly precision: Precision;
    readonly repeat: number;
    readonly min_time_s: number;
  };
  readonly peaks?: {
    readonly fp32_gflops_per_s: number;
    readonly bf16_gflops_per_s?: number;
    readonly copy_gb_per_s: number;
  };
  readonly results: readonly CaseResult[];
  /** What is missing, and why. */
  readonly notes: readonly string[];
}

/** Times cases of the table on all backends, in turns. @throws ConfigError, BackendError */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { precision, repeat } = options;
  const cases = selectCases(options.ops, options.size);
  const { contenders, notes } = await openContenders(options);
  try {
    const found = await findPeaks();
    const peaks = 'peaks' in found ? found.peaks : undefined;
    if ('reason' in found) notes.push(`No share of the machine’s peak: ${found.reason}.`);
    const results: CaseResult[] = [];
    for (const [i, each] of cases.entries()) {
      options.onProgress?.(i, cases.length, each.name);
      const timings = await timeCase(contenders, each, { repeat, minTimeMs: 1000 * options.minTimeSeconds });
      results.push(...caseResults(each, timings, { peaks, precision }));
    }
    options.onProgress?.(cases.length, cases.length, 'done');
    return reportOf(options, contenders, results, notes, peaks);
  } finally {
    for (const each of contenders) each.close();
  }
}

/** Backends in the order given, then the peer. A peer that is not installed only gives a note. */
async function openContenders({ backends, precision, peer, python }: BenchOptions) {
  const [contenders, notes]: [Contender[], string[]] = [[], []];
  for (const name of backends.length > 0 ? [...new Set(backends)] : [undefined])
    contenders.push(await openBackend(name, precision));
  if (peer) {
    const found = await openTorchPeer(python, precision, contenders[0]?.name === 'vwn-cuda' ? 'cuda' : 'cpu');
    if ('reason' in found) notes.push(`No peer torch: ${found.reason}; --python names another Python.`);
    else contenders.push(found);
  }
  return { contenders, notes };
}

function reportOf(
  { ops, size, precision, repeat, minTimeSeconds }: BenchOptions,
  contenders: readonly Contender[],
  results: readonly CaseResult[],
  notes: readonly string[],
  peaks: Peaks | undefined,
): BenchReport {
  const commit = describeCommit();
  return {
    date: new Date().toISOString().slice(0, 10),
    ...(commit === undefined ? {} : { commit }),
    machine: describeMachine(),
    options: {
      backends: Object.fromEntries(contenders.map(({ name, details }) => [name, details])),
      ops,
      size,
      precision,
      repeat,
      min_time_s: minTimeSeconds,
    },
    ...(peaks ? { peaks: peaksOf(peaks) } : {}),
    results,
    notes,
  };
}

function peaksOf({ fp32GflopsPerSecond, bf16GflopsPerSecond, copyGbPerSecond }: Peaks) {
  return {
    fp32_gflops_per_s: significant(fp32GflopsPerSecond),
    ...(bf16GflopsPerSecond === undefined ? {} : { bf16_gflops_per_s: significant(bf16GflopsPerSecond) }),
    copy_gb_per_s: significant(copyGbPerSecond),
  };
}
