import { escapeHtml, lineChart, type Series } from '../report/chart';
import { htmlTable, page } from '../report/page';
import { comparisonTable, verdict, type ComparisonRow, type Outcome } from './comparison';

const colours = ['#8a94a6', '#d1495b', '#2e86ab', '#6a994e'];

export interface QuickstartReport {
  readonly outcomes: readonly Outcome[];
  readonly rows: readonly ComparisonRow[];
  readonly prompt: string;
  readonly sample: string;
  readonly machine: string;
}

/** The quickstart's report: both loss curves, the table, a sample, and what was run where. */
export function quickstartPage({ outcomes, rows, prompt, sample, machine }: QuickstartReport): string {
  const heldOut: Series[] = outcomes.map(({ name, heldOut: points }, i) => ({
    name,
    colour: colours[i % colours.length] as string,
    points: points.map(({ tokens, loss }) => [tokens, loss] as const),
  }));
  const training: Series[] = outcomes.flatMap(({ name, training: points }, i) => {
    const colour = colours[i % colours.length] as string;
    const raw = points.map(({ tokens, loss }) => [tokens, loss] as const);
    return [
      { name, colour, points: raw, faint: true },
      { name, colour, points: smooth(raw, 15) },
    ];
  });
  const axes = { xLabel: 'training tokens', yLabel: 'loss (nats per token)' };
  return page('Virtual width, measured', [
    `<p>${escapeHtml(verdict(rows))}</p>`,
    htmlTable(comparisonTable(rows)),
    lineChart(heldOut, { title: 'Held-out next-token loss', ...axes }),
    lineChart(training, { title: 'Training loss (faint: each step; bold: running mean)', ...axes }),
    `<h2>A sample from the VWN</h2><pre><b>${escapeHtml(prompt)}</b>${escapeHtml(sample)}</pre>`,
    `<p>${escapeHtml(machine)}</p>`,
  ]);
}

function smooth(points: readonly (readonly [number, number])[], window: number): [number, number][] {
  return points.map(([x], i) => {
    const near = points.slice(Math.max(0, i - window + 1), i + 1);
    return [x, near.reduce((sum, [, y]) => sum + y, 0) / near.length];
  });
}
