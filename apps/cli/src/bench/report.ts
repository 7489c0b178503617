import { percent, table } from '../terminal/format';
import type { CaseResult } from './result';
import type { BenchReport } from './run';
import type { Spread } from './statistics';

/** The results as a table, and below it what its columns mean and what is missing from it. */
export function reportText({ machine, options, peaks, results, notes }: BenchReport): string {
  const columns = columnsOf(results);
  const rows = results.map((result) => columns.map(({ cell }) => cell(result)));
  const first = results[0]?.backend;
  return [
    table([columns.map(({ head }) => head), ...rows]),
    '',
    `${machine.cores} cores ${machine.cpu}, ${machine.memory_gib} GiB, Node ${machine.node}, ${options.precision}`,
    `Medians of ${options.repeat} rounds; IQR: interquartile range as a share of the median. Backward without its forward.`,
    ...(peaks ? [`Peaks measured here: ${peaksText(peaks)}; "of peak" is the forward call’s.`] : []),
    ...(results.some(({ ratio }) => ratio) ? [`fwd x, bwd x: how many times as fast as ${first}.`] : []),
    ...notes,
  ].join('\n');
}

interface Column {
  readonly head: string;
  readonly cell: (result: CaseResult) => string;
}

/** Columns that no row fills are left out. */
function columnsOf(results: readonly CaseResult[]): Column[] {
  const columns: (Column & { readonly isOptional?: boolean })[] = [
    { head: 'case', cell: (each) => each.case },
    { head: 'backend', cell: (each) => each.backend },
    { head: 'forward ms', cell: (each) => figure(each.forward_ms.median) },
    { head: 'IQR', cell: (each) => relativeRange(each.forward_ms) },
    { head: 'backward ms', cell: (each) => figure(each.backward_ms.median) },
    { head: 'IQR', cell: (each) => relativeRange(each.backward_ms) },
    { head: 'fwd GFLOP/s', cell: (each) => figure(each.forward_gflops_per_s), isOptional: true },
    { head: 'bwd GFLOP/s', cell: (each) => figure(each.backward_gflops_per_s), isOptional: true },
    { head: 'GB/s', cell: (each) => figure(each.gb_per_s) },
    { head: 'of peak', cell: ({ share_of_peak: peak }) => share(peak), isOptional: true },
    { head: 'fwd x', cell: ({ ratio }) => figure(ratio?.forward), isOptional: true },
    { head: 'bwd x', cell: ({ ratio }) => figure(ratio?.backward), isOptional: true },
  ];
  return columns.filter(({ cell, isOptional }) => !isOptional || results.some((each) => cell(each) !== ''));
}

/** Three significant digits, never in exponents. */
function figure(value: number | undefined): string {
  if (value === undefined) return '';
  if (value === 0 || value >= 100) return value.toFixed(0);
  const decimals = 2 - Math.floor(Math.log10(value));
  return value.toFixed(Math.min(6, Math.max(0, decimals)));
}

function relativeRange({ q1, median, q3 }: Spread): string {
  return percent((q3 - q1) / median);
}

function share(peak: CaseResult['share_of_peak']): string {
  return peak ? `${percent(peak.share)} ${peak.of}` : '';
}

function peaksText(peaks: NonNullable<BenchReport['peaks']>): string {
  const half = peaks.bf16_gflops_per_s === undefined ? '' : `, ${figure(peaks.bf16_gflops_per_s)} GFLOP/s bf16`;
  return `${figure(peaks.fp32_gflops_per_s)} GFLOP/s fp32${half}, ${figure(peaks.copy_gb_per_s)} GB/s copied`;
}
