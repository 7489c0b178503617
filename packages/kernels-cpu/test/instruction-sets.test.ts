/**
 * Every instruction set that this machine has, each in a process of its own (the set is chosen when the library is
 * loaded), on every row of the table against tfjs's cpu backend.
 */
import { goldenTolerance } from '@vwn/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CaseTableReport } from './support/case-table';
import { reportOf, runChild } from './support/child';
import { describeNative, isNativeTested, testedInstructionSets } from './support/native';
import { tableCases } from './support/ragged-cases';

const instructionSets = await testedInstructionSets();

describe.each(instructionSets)('instruction set %s', (isa) => {
  let report: CaseTableReport;
  beforeAll(async () => {
    report = await reportOf<CaseTableReport>('case-table.ts', { args: ['fp32'], env: { VWN_CPU_ISA: isa } });
  });

  it('is the one that runs when VWN_CPU_ISA asks for it, on every row', () => {
    expect(report.instructionSet).toBe(isa);
    expect(report.rows.map(({ name }) => name)).toEqual(tableCases.map(({ name }) => name));
  });

  it.each(tableCases.map(({ name }, i) => [name, i] as const))('agrees with the cpu backend: %s', (name, i) => {
    const { forward, gradients } = report.rows[i] as CaseTableReport['rows'][number];
    expect(forward, 'outputs').toBeLessThan(goldenTolerance.forward);
    expect(Object.keys(gradients)).toEqual(tableCases[i]?.differentiable);
    for (const [input, error] of Object.entries(gradients))
      expect(error, `gradient of ${input}`).toBeLessThan(goldenTolerance.gradient);
  });
});

describeNative('the choice of an instruction set', () => {
  it('knows the portable one everywhere, and lists the best first', async () => {
    const { loadLibrary } = await import('@vwn/kernels-cpu');
    const { instructionSets: sets, instructionSet } = loadLibrary();
    expect(sets).toContain('portable');
    expect(sets.indexOf('portable')).toBe(sets.length - 1);
    if (!process.env.VWN_CPU_ISA) expect(instructionSet).toBe(sets[0]);
  });

  it('fails for one that is not here, and names those that are', async () => {
    const { status, stderr } = await runChild('case-table.ts', { env: { VWN_CPU_ISA: 'sse9' } });
    expect(status).toBe(1);
    expect(stderr).toContain('VWN_CPU_ISA asks for sse9, which this machine or build does not have');
    expect(stderr).toContain(`expected one of ${instructionSets.join(', ')}. Correct it, or leave it out`);
  });

  it('is listed for these tests', () => expect(instructionSets.length > 0).toBe(isNativeTested));
});
