import { describe, expect, it } from 'vitest';
import { quickstartSummary } from '../src/quickstart/summary';

const row = (name: string, loss: number, tokens?: number) => ({
  name,
  loss,
  tokensToPlainLoss: tokens,
  stepMs: 18,
  parameters: 463_000,
});
const rest = { machine: '200 steps each on the wasm backend.', prompt: 'We', sample: ' are', report: '/r/report.html' };

describe('the summary of quickstart', () => {
  it('says who won by how much, on which backend, and what to type next', () => {
    const text = quickstartSummary({ rows: [row('plain', 5.5, 200), row('VWN', 5.1, 100)], out: 'runs/q', ...rest });
    expect(text).toContain('VWN ended 0.400 nats below the plain and reached that loss with 2.00 times fewer tokens.');
    expect(text).toContain('200 steps each on the wasm backend.');
    expect(text).toContain('We are');
    expect(text).toContain('file:///r/report.html');
    expect(text).toContain('npx vwn generate runs/q/vwn-4x --prompt');
  });

  it('says so when virtual width lost', () => {
    const text = quickstartSummary({ rows: [row('plain', 5.1, 200), row('VWN', 5.5)], out: 'runs/q', ...rest });
    expect(text).toContain('In this run VWN did not beat the plain (0.400 nats behind).');
    expect(text).toContain('not reached');
  });
});
