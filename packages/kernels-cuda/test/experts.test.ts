import { describe, expect, it } from 'vitest';
import {
  asHalves,
  expectSame,
  randomOperand,
  result,
  runOnCuda,
  type Operand,
  type Storage,
} from './support/both-libraries';

const storages: Storage[] = ['f32', 'bf16'];
const integers = (values: readonly number[]): Operand => ({ storage: 'i32', values });

/** Operands of grouped_linear: offsets, x, the weights of every set. */
function operandsOf(counts: readonly number[], width: number, outs: readonly number[], storage: Storage): Operand[] {
  const offsets = counts.reduce((at, count) => [...at, (at.at(-1) as number) + count], [0]);
  const weights = outs.flatMap((out, s) => counts.map((_, e) => randomOperand(out * width, 'f32', 10 * s + e + 2)));
  return [integers(offsets), randomOperand((offsets.at(-1) as number) * width, storage), ...weights];
}

describe.each(storages)('grouped_linear in %s', (storage) => {
  it.each([
    [[1], 1, [1]],
    [[0, 0], 3, [2]],
    [[5, 0, 3], 4, [6, 2]],
    [[70, 130, 0, 64, 1], 33, [17, 65]],
    [[2, 3], 20, [130, 4, 9]],
    [[150, 0, 130], 72, [136, 72]],
    [[3, 129, 0, 130], 66, [131]],
  ])('of %j rows, width %i, to %j, and its gradients', (counts, width, outs) => {
    const [groups, rows] = [counts.length, counts.reduce((a, b) => a + b)];
    const operands = operandsOf(counts, width, outs, storage);
    const numbers = (halves: number) => [rows, width, groups, halves, ...outs];
    const [dys, dWeights] = [
      outs.map((out, s) => randomOperand(rows * out, storage, s + 50)),
      outs.flatMap((out) => counts.map(() => result(out * width))),
    ];
    for (const halves of [0, 1]) {
      const tolerance = storage === 'f32' ? 2e-5 : 1e-2;
      const ys = outs.map((out) => result(rows * out, storage));
      const [given, dGiven] = halves ? [operands.map(asHalves), dys.map(asHalves)] : [operands, dys];
      expectSame('grouped_linear', [...given, ...ys], numbers(halves), tolerance);
      const gradient = [...given, ...dGiven, result(rows * width, storage), ...dWeights];
      expectSame('grouped_linear_grad', gradient, numbers(halves), tolerance);
    }
  });

  it('of more groups than a launch takes', () => {
    const counts = Array.from({ length: 300 }, (_, e) => e % 3);
    const [rows, width, out] = [counts.reduce((a, b) => a + b), 3, 2];
    const operands = operandsOf(counts, width, [out], storage);
    const dWeights = counts.map(() => result(out * width));
    const dy = randomOperand(rows * out, storage, 7);
    for (const halves of [0, 1]) {
      const numbers = [rows, width, counts.length, halves, out];
      const [given, dGiven] = halves ? [operands.map(asHalves), asHalves(dy)] : [operands, dy];
      expectSame('grouped_linear', [...given, result(rows * out, storage)], numbers);
      expectSame('grouped_linear_grad', [...given, dGiven, result(rows * width, storage), ...dWeights], numbers);
    }
  });
});

describe('offsets', () => {
  it.each([[[1, 2, 4]], [[0, 3, 2]], [[0, 2, 5]], [[0, -1, 4]], [[0, 5, 4]]])(
    'that do not share out the rows are told of, and nothing else is read: %j',
    (offsets) => {
      const operands = [integers(offsets), randomOperand(12), randomOperand(6), randomOperand(6)];
      const text = 'offsets do not share out the rows of x, and must be numbers that rise from 0 to the number of rows';
      const gradient = [...operands, randomOperand(8), result(12), result(6), result(6)];
      for (const halves of [0, 1]) {
        const numbers = [4, 3, 2, halves, 2];
        expect(() => runOnCuda('grouped_linear', [...operands, result(8)], numbers)).toThrow(text);
        expect(() => runOnCuda('grouped_linear_grad', gradient, numbers)).toThrow(text);
      }
    },
  );

  it('of no rows at all are looked at, too', () => {
    for (const halves of [0, 1])
      expect(() =>
        runOnCuda('grouped_linear', [integers([0, 1]), result(0), randomOperand(6), result(0)], [0, 3, 1, halves, 2]),
      ).toThrow('offsets do not share out the rows of x');
  });

  it('are wanted in a call with a weight for each group, at most 8 sets of which have a gradient', () => {
    const one = randomOperand(1);
    expect(() => runOnCuda('grouped_linear', [integers([0, 1]), one, one, one, one], [1, 1, 1, 0, 1])).toThrow(
      'a weight for each group and set',
    );
    const nine = [integers([0, 1]), ...new Array<Operand>(29).fill(one)];
    expect(() => runOnCuda('grouped_linear_grad', nine, [1, 1, 1, 0, ...new Array<number>(9).fill(1)])).toThrow(
      'at most 8 sets',
    );
  });
});

describe.each(storages)('route_tokens of logits in %s', (storage) => {
  it.each([
    [0, 3, 2],
    [1, 1, 1],
    [7, 3, 2],
    [5, 4, 4],
    [700, 17, 3],
  ])('of %i tokens to %i experts, %i a token, with equal logits, and its gradient', (N, E, k) => {
    const values = Array.from({ length: N * E }, (_, i) => ((i * i + 3 * i) % 7) / 2);
    const results = [
      result(N * E),
      result(N * k),
      result(N * k, 'i32'),
      result(N * k, 'i32'),
      result(E + 1, 'i32'),
      result(E),
    ];
    const operands = [{ storage, values }, ...results];
    expectSame('route_tokens', operands, [N, E, k], 2e-6);
    const [, probabilities, , , rows, offsets] = runOnCuda('route_tokens', operands, [N, E, k]) as Float64Array[];
    const gradient: Operand[] = [
      { storage: 'f32', values: probabilities as Float64Array },
      integers([...(rows as Float64Array)]),
      integers([...(offsets as Float64Array)]),
      randomOperand(N * E, 'f32', 2),
      randomOperand(N * k, 'f32', 3),
      result(N * E, storage),
    ];
    expectSame('route_tokens_grad', gradient, [N, E, k]);
  });
});

describe('routing', () => {
  it('refuses more experts a token than there are, and tells of rows and offsets that are none', () => {
    const lists = [result(9), result(12), result(12, 'i32'), result(12, 'i32'), result(4, 'i32'), result(3)];
    expect(() => runOnCuda('route_tokens', [randomOperand(9), ...lists], [3, 3, 4])).toThrow('at most once');
    const gradient = (rows: number[], offsets: number[]) =>
      runOnCuda(
        'route_tokens_grad',
        [randomOperand(4), integers(rows), integers(offsets), randomOperand(4), randomOperand(2), result(4)],
        [2, 2, 1],
      );
    const text = 'offsets or rows do not share out the tokens, and must be offsets that rise from 0';
    expect(() => gradient([0, 2], [0, 1, 2])).toThrow(text);
    expect(() => gradient([0, -1], [0, 1, 2])).toThrow(text);
    expect(() => gradient([0, 1], [0, 3, 2])).toThrow(text);
    expect(gradient([0, 1], [0, 1, 2])[5]?.every(Number.isFinite)).toBe(true);
  });
});
