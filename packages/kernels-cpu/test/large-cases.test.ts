/** Rows of the case table at the sizes of training, where every thread and every block of a kernel has its part. */
import { evaluateCase, goldenTolerance, maxRelativeError, opCases, type CaseResult } from '@vwn/core/testing';
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { useTestBackend } from '../../core/test/support/backends';
import { describeNative, nativeBackend } from './support/native';

/** Of every bit of a result: comparing millions of numbers one by one takes minutes. */
function digest(result: CaseResult | undefined): string {
  const hash = createHash('sha256');
  for (const { values } of [...(result?.outputs ?? []), ...Object.values(result?.gradients ?? {})])
    hash.update(Float32Array.from(values));
  return hash.digest('hex');
}

describeNative('large cases', () => {
  for (const opCase of opCases.filter(({ size, flops }) => size === 'large' && (flops ?? 0) < 2e8))
    it(`agree with wasm: ${opCase.name}`, async () => {
      const { outputs, gradients } = evaluateCase(opCase);
      await useTestBackend('wasm');
      const reference = evaluateCase(opCase);
      await useTestBackend('vwn-cpu');
      reference.outputs.forEach(({ values }, i) =>
        expect(maxRelativeError(outputs[i]?.values ?? [], values)).toBeLessThan(goldenTolerance.forward),
      );
      for (const [name, { values }] of Object.entries(reference.gradients))
        expect(maxRelativeError(gradients[name]?.values ?? [], values), name).toBeLessThan(goldenTolerance.gradient);
    });
});

describeNative('repeated runs', () => {
  for (const opCase of opCases.filter(({ size, flops }) => size === 'large' && (flops ?? 0) < 1e9))
    it(`are equal bit for bit: ${opCase.name}`, () => {
      const [first, second] = [evaluateCase(opCase), evaluateCase(opCase)];
      expect(digest(second)).toBe(digest(first));
    });

  it('with other numbers of threads differ by rounding at most, and not at all with the same number', () => {
    const { library } = nativeBackend();
    const before = library.threads();
    const opCase = opCases.find(({ name }) => name.startsWith('connectionStep dynamic m=4 n=16 db=32'));
    if (!opCase) throw new Error('the case table has no (4, 16) step');
    const runs = [1, 2, 3, 2, 1].map((threads) => {
      library.setThreads(threads);
      return evaluateCase(opCase);
    });
    library.setThreads(before);
    expect(runs.map(digest)).toEqual([0, 1, 2, 1, 0].map((i) => digest(runs[i])));
    for (const [name, { values }] of Object.entries(runs[0]?.gradients ?? {}))
      expect(maxRelativeError(runs[2]?.gradients[name]?.values ?? [], values), name).toBeLessThan(1e-5);
  });
});
