import { pathToFileURL } from 'node:url';
import { table } from '../terminal/format';
import { comparisonTable, verdict, type ComparisonRow } from './comparison';

export interface Summary {
  readonly rows: readonly ComparisonRow[];
  /** A sentence on the steps, the backend and the machine. */
  readonly machine: string;
  readonly prompt: string;
  readonly sample: string;
  /** Path of the page with both curves. */
  readonly report: string;
  /** Folder of the runs, as the user named it. */
  readonly out: string;
}

/** What the terminal says at the end: what came out, where it ran, and what to do next. */
export function quickstartSummary({ rows, machine, prompt, sample, report, out }: Summary): string {
  return [
    '',
    table(comparisonTable(rows)),
    '',
    verdict(rows),
    machine,
    '',
    `The VWN continues "${prompt}":`,
    `${prompt}${sample}`,
    '',
    `Both curves: ${pathToFileURL(report).href}`,
    `Go on with:  npx vwn generate ${out}/vwn-4x --prompt "My fellow Americans"`,
  ].join('\n');
}
