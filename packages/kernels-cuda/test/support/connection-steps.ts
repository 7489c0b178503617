/** Connection steps against those of vwn-cpu, forward and backward, for tests of the kernels that make them. */
import { expect, it } from 'vitest';
import { expectSame, randomOperand, result, runOnCuda, type Operand, type Storage } from './both-libraries';

export interface Step {
  readonly m: number;
  readonly n: number;
  readonly db: number;
  readonly tokens: number;
  readonly write: boolean;
  readonly read: boolean;
  readonly dynamic: boolean;
  readonly normed?: boolean;
}

export const numbers = ({ m, n, db, tokens, write, read, dynamic, normed = false }: Step) => [
  m,
  n,
  db,
  tokens,
  1e-5,
  +write,
  +read,
  +dynamic,
  +normed,
  1e-2,
];

/** Sizes of the parameters, in their order: writing's 2 or 7, reading's 1 or 4, the sublayer's norm. */
function parameterSizes({ m, n, db, write, read, dynamic, normed }: Step): number[] {
  const [alpha, beta, fn] = [n * (m + n), n * m, db * (m + n)];
  return [
    ...(write ? [alpha, beta, ...(dynamic ? [db, fn, db * m, alpha, beta] : [])] : []),
    ...(read ? [alpha, ...(dynamic ? [db, fn, alpha] : []), ...(normed ? [m * db] : [])] : []),
  ];
}

const statesOf = ({ m, n, db, tokens }: Step) => [tokens * n * db, tokens * m * db] as const;

function inputsOf(step: Step, storage: Storage): { inputs: Operand[]; parameters: Operand[] } {
  const [state, backbone] = statesOf(step);
  const h = randomOperand(state, storage, 1);
  return {
    inputs: step.write ? [h, randomOperand(backbone, storage, 2)] : [h],
    parameters: parameterSizes(step).map((size, i) => randomOperand(size, 'f32', i + 20, 0.7)),
  };
}

/** Operands and numbers of the forward pass. */
function forward(step: Step, storage: Storage): [Operand[], number[]] {
  const [state, backbone] = statesOf(step);
  const { inputs, parameters } = inputsOf(step, storage);
  const outputs = [...(step.write ? [result(state, storage)] : []), ...(step.read ? [result(backbone, storage)] : [])];
  return [[...inputs, ...parameters, ...outputs], numbers(step)];
}

/** Both passes of a step. */
export function check(step: Step, storage: Storage, hasDhNext = step.write): void {
  const { write, read } = step;
  const [state, backbone] = statesOf(step);
  const [dhNext, dx] = [randomOperand(state, storage, 3), randomOperand(backbone, storage, 4)];
  const { inputs, parameters } = inputsOf(step, storage);
  const [operands] = forward(step, storage);
  expectSame('connection_step', operands, numbers(step));
  const hNext = runOnCuda('connection_step', operands, numbers(step))[
    inputs.length + parameters.length
  ] as Float64Array;
  const gradient = [
    ...inputs,
    ...parameters,
    ...(write && read ? [{ storage, values: hNext }] : []),
    ...(hasDhNext ? [dhNext] : []),
    ...(read ? [dx] : []),
    result(state, storage),
    ...(write ? [result(backbone, storage)] : []),
    ...parameters.map(({ values }) => result(values.length)),
  ];
  expectSame('connection_step_grad', gradient, [...numbers(step), +hasDhNext], storage === 'bf16' ? 2e-2 : 1e-4);
}

/** A step with both halves or one of them. */
export const halves = [
  { write: true, read: true, normed: false, title: 'writes and reads' },
  { write: true, read: true, normed: true, title: 'writes, reads and norms' },
  { write: true, read: false, normed: false, title: 'writes' },
  { write: false, read: true, normed: false, title: 'reads' },
  { write: false, read: true, normed: true, title: 'reads and norms' },
];

/** A test of each of `shapes`, [m, n, db, tokens], in bf16 for every half of a step. */
export function checkShapes(shapes: readonly (readonly [number, number, number, number])[]): void {
  for (const { title, ...half } of halves)
    it.each(shapes)(`${title}: (%d,%d), %d columns, %d tokens`, (m, n, db, tokens) => {
      check({ m, n, db, tokens, dynamic: true, ...half }, 'bf16');
    });
}

/** That a number which is not finite reaches no other token. */
export function checkNotFinite(m: number, n: number, db: number): void {
  const [ofState, ofBackbone] = [n * db, m * db];
  const step = { m, n, db, tokens: 6, write: true, read: true, dynamic: true };
  const [[h, ...rest], numbers] = forward(step, 'bf16');
  const values = Float32Array.from((h as Operand).values);
  [values[ofState + 3], values[3 * ofState]] = [Number.NaN, Number.POSITIVE_INFINITY];
  const after = runOnCuda('connection_step', [{ storage: 'bf16', values }, ...rest], numbers);
  const [state, x] = after.slice(-2) as [Float64Array, Float64Array];
  const isFinite = (all: Float64Array, token: number, size: number) =>
    all.slice(token * size, (token + 1) * size).every(Number.isFinite);
  const tokens = [0, 1, 2, 3, 4, 5];
  expect(tokens.map((token) => isFinite(state, token, ofState))).toEqual([true, false, true, false, true, true]);
  expect(tokens.map((token) => isFinite(x, token, ofBackbone))).toEqual([true, false, true, false, true, true]);

  const parameters = rest.slice(1, -2);
  const backwards = [
    { storage: 'bf16' as const, values },
    rest[0] as Operand,
    ...parameters,
    { storage: 'bf16' as const, values: state },
    randomOperand(6 * ofState, 'bf16', 3),
    randomOperand(6 * ofBackbone, 'bf16', 4),
    result(6 * ofState, 'bf16'),
    result(6 * ofBackbone, 'bf16'),
    ...parameters.map((each) => result(each.values.length)),
  ];
  const [dh, dout] = runOnCuda('connection_step_grad', backwards, [...numbers, 1]).slice(parameters.length + 5) as [
    Float64Array,
    Float64Array,
  ];
  expect(tokens.map((token) => isFinite(dh, token, ofState))).toEqual([true, false, true, false, true, true]);
  expect(tokens.map((token) => isFinite(dout, token, ofBackbone))).toEqual([true, false, true, false, true, true]);
}
