import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testBackends } from '../../../packages/core/test/support/backends';
import { temporaryFolder, vwn } from './support/vwn';

const cwd = temporaryFolder();
const quick = ['--size', 'small', '--repeat', '2', '--min-time', '0'];
const bench = (...args: string[]) => vwn(['bench', ...quick, ...args], { cwd });

describe('vwn bench', () => {
  it('times the chosen cases in both directions, prints a table and writes all results', async () => {
    const { status, stdout, stderr } = await bench('--backend', 'cpu', '--op', 'rmsNorm', '--out', 'bench.json');
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    for (const head of ['forward ms', 'backward ms', 'IQR', 'GB/s']) expect(stdout).toContain(head);
    const report = JSON.parse(readFileSync(join(cwd, 'bench.json'), 'utf8'));
    expect(report.options).toMatchObject({ precision: 'fp32', repeat: 2, size: 'small' });
    expect(Object.keys(report.options.backends)).toEqual(['cpu']);
    expect(report.machine).toMatchObject({ node: process.version });
    expect(report.results.length).toBeGreaterThan(1);
    for (const result of report.results) {
      expect(result.case).toMatch(/rmsNorm/i);
      expect(result.forward_ms.median).toBeGreaterThan(0);
      expect(result.backward_ms.median).toBeGreaterThanOrEqual(0);
    }
  });

  it('compares several backends with the first one, and gives products a rate', async () => {
    const { stdout, status } = await bench('--backend', 'cpu,wasm', '--op', 'linear [', '--json');
    expect(status).toBe(0);
    const { results } = JSON.parse(stdout);
    const [first, second] = results;
    expect([first.backend, second.backend]).toEqual(['cpu', 'wasm']);
    expect(first.case).toBe(second.case);
    expect(first.ratio).toBeUndefined();
    expect(second.ratio.forward).toBeCloseTo(first.forward_ms.median / second.forward_ms.median, 1);
    expect(first.forward_gflops_per_s).toBeGreaterThan(0);
  });

  it('says which cases there are when none is chosen, and which backends when one is unknown', async () => {
    const none = await bench('--backend', 'cpu', '--op', 'nonsense');
    expect(none.status).toBe(1);
    expect(none.stderr).toContain('nonsense');
    expect(none.stderr).toContain('linear');
    const unknown = await bench('--backend', 'abacus', '--op', 'linear');
    expect(unknown.stderr).toContain('there is no backend called abacus');
  });

  it('says before it times anything that its results cannot be written', async () => {
    writeFileSync(join(cwd, 'file'), '');
    mkdirSync(join(cwd, 'folder'));
    for (const [out, got] of [
      ['file/bench.json', 'a file where a folder should be'],
      ['folder', 'a folder'],
    ] as const) {
      // The operation is chosen before the first is timed, and there is none of that name.
      const { status, stderr } = await bench('--backend', 'cpu', '--op', 'nonsense', '--out', out);
      expect(status).toBe(1);
      expect(stderr).toContain(`cannot write ${out}: got ${got}`);
    }
  });

  it('leaves its result file as it is until there are results', async () => {
    writeFileSync(join(cwd, 'earlier.json'), 'earlier');
    for (const out of ['earlier.json', 'new.json'])
      expect((await bench('--backend', 'cpu', '--op', 'nonsense', '--out', out)).status).toBe(1);
    expect(readFileSync(join(cwd, 'earlier.json'), 'utf8')).toBe('earlier');
    expect(existsSync(join(cwd, 'new.json'))).toBe(false);
  });

  it('refuses bf16 on a backend that has none', async () => {
    const { status, stderr } = await bench('--backend', 'wasm', '--precision', 'bf16', '--op', 'linear');
    expect(status).toBe(1);
    expect(stderr).toContain('bf16');
  });

  it('goes on without a peer that is not installed, and says so', async () => {
    const peer = ['--peer', 'torch', '--python', join(cwd, 'no-python')];
    const { status, stdout } = await bench('--backend', 'cpu', '--op', 'rmsNorm', ...peer);
    expect(status).toBe(0);
    expect(stdout).toContain('No peer torch');
  });

  const hasNative = testBackends.includes('vwn-cpu');
  it(
    hasNative ? 'gives vwn-cpu’s share of the machine’s measured peaks' : 'is NOT TESTED on vwn-cpu here',
    async () => {
      if (!hasNative) return expect(testBackends).not.toContain('vwn-cpu');
      const { stdout, status } = await bench('--backend', 'vwn-cpu', '--op', 'linear [', '--json');
      expect(status).toBe(0);
      const { peaks, results, options } = JSON.parse(stdout);
      expect(peaks.fp32_gflops_per_s).toBeGreaterThan(1);
      expect(peaks.copy_gb_per_s).toBeGreaterThan(0.5);
      expect(options.backends['vwn-cpu'].instructions).toBeTypeOf('string');
      for (const { share_of_peak: peak } of results) {
        expect(['fp32', 'copy']).toContain(peak.of);
        expect(peak.share).toBeLessThan(1.2);
      }
    },
  );
});
