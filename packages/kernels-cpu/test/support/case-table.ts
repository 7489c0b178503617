/**
 * Child process: all small rows of the one case table, and ragged ones, on vwn-cpu. Prints how far values and gradients
 * are from a reference, relative to the largest: `fp32` from the cpu backend, `bf16` from vwn-cpu itself in fp32.
 */
import '@tensorflow/tfjs-backend-cpu';
import { setPrecision, type Precision } from '@vwn/core';
import { evaluateCase, maxRelativeError, type CaseResult, type HostTensor, type OpCase } from '@vwn/core/testing';
import { loadLibrary } from '@vwn/kernels-cpu';
import { tableCases } from './ragged-cases';
import { useBackend } from './use-backend';

export interface CaseErrors {
  readonly name: string;
  /** Largest error of any output, and of the gradient of each input. NaN, which is no JSON, is null. */
  readonly forward: number | null;
  readonly gradients: Readonly<Record<string, number | null>>;
}

export interface CaseTableReport {
  readonly instructionSet: string;
  readonly rows: readonly CaseErrors[];
}

/** Several for small rows in bf16: its rounding of the one number of a gradient that cancels says nothing alone. */
function seedsOf({ name }: OpCase, precision: Precision): readonly number[] {
  return precision === 'bf16' && !name.startsWith('ragged') ? [0, 1, 2, 3] : [0];
}

/** Values of all seeds in one row, so that errors are relative to the largest of them. */
function together(results: readonly CaseResult[], pick: (result: CaseResult) => HostTensor | undefined): number[] {
  return results.flatMap((each) => [...(pick(each)?.values ?? [])]);
}

function compare(name: string, actual: readonly CaseResult[], expected: readonly CaseResult[]): CaseErrors {
  const error = (pick: (result: CaseResult) => HostTensor | undefined) =>
    maxRelativeError(together(actual, pick), together(expected, pick));
  const { outputs, gradients } = expected[0] as CaseResult;
  const errors = Object.keys(gradients).map((input) => [input, error((each) => each.gradients[input])]);
  return {
    name,
    forward: Math.max(...outputs.map((_, i) => error((each) => each.outputs[i]))),
    gradients: Object.fromEntries(errors) as Record<string, number>,
  };
}

async function main(precision: Precision): Promise<void> {
  const results = (each: OpCase) => seedsOf(each, precision).map((seed) => evaluateCase(each, seed));
  await useBackend(precision === 'bf16' ? 'vwn-cpu' : 'cpu');
  const expected = tableCases.map(results);
  await useBackend('vwn-cpu');
  setPrecision(precision);
  const rows = tableCases.map((each, i) => compare(each.name, results(each), expected[i] as CaseResult[]));
  const report: CaseTableReport = { instructionSet: loadLibrary().instructionSet, rows };
  process.stdout.write(JSON.stringify(report));
}

await main(process.argv[2] === 'bf16' ? 'bf16' : 'fp32');
