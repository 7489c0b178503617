import { describe, expect, it } from 'vitest';
import { lineChart } from '../src/report/chart';

describe('a line chart', () => {
  it('shows every point of a run of more steps than a function takes arguments', () => {
    const points = Array.from({ length: 300_000 }, (_, i) => [i, i % 7] as const);
    const chart = lineChart([{ name: 'loss', colour: 'red', points }], { title: 't', xLabel: 'x', yLabel: 'y' });
    expect(chart.match(/points="([^"]*)"/)?.[1]?.split(' ')).toHaveLength(points.length);
  });
});
