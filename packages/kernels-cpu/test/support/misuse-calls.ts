/** One right call of every native function, and the wrong ones next to it. */
import { StorageType } from '@vwn/kernels';

/** Elements and how they are stored; their values where zeros would be wrong. */
export type Buffer = readonly [size: number, type: StorageType, values?: readonly number[]];

export interface NativeCall {
  readonly function: string;
  readonly buffers: readonly Buffer[];
  readonly numbers: readonly number[];
}

export interface Attempt extends NativeCall {
  /** What is wrong with it; empty for a right call. */
  readonly wrong: string;
}

interface Pattern extends NativeCall {
  /** Which numbers are sizes. */
  readonly dimensions: readonly number[];
  /** Which are strides, offsets or choices. */
  readonly others: readonly number[];
  /** Which float32 buffers may be bf16 while the others are not. */
  readonly mixed: readonly number[];
}

const { f32, bf16, i32, u8 } = StorageType;

function pattern(
  name: string,
  buffers: readonly (number | Buffer)[],
  numbers: readonly number[],
  dimensions: readonly number[],
  mixed: readonly number[] = [],
  others: readonly number[] = [],
): Pattern {
  const typed = buffers.map((each): Buffer => (typeof each === 'number' ? [each, f32] : each));
  return { function: name, buffers: typed, numbers, dimensions, mixed, others };
}

const writing = [6, 2, 3, 9, 3, 6, 2];
const reading = [6, 3, 9, 6];
/** With the sublayer's norm, or without it. */
const stepNumbers = (normed: number) => [1, 2, 3, 2, 1e-5, 1, 1, 1, normed, 1e-6];
const stepBuffers = (norm: readonly number[]) => [12, 6, ...writing, ...reading, ...norm, 12, 6];
const stepGradBuffers = (norm: readonly number[]) => {
  const parameters = [...writing, ...reading, ...norm];
  return [12, 6, ...parameters, 12, 12, 6, 12, 6, ...parameters];
};
/** Two groups of three rows of 3 numbers, to 4 and 2. */
const groups: Buffer = [3, i32, [0, 1, 3]];
const groupNumbers = [3, 3, 2, 0, 4, 2];
const routedRows: Buffer = [6, i32, [0, 1, 2, 3, 4, 5]];
const routedOffsets: Buffer = [5, i32, [0, 2, 2, 4, 6]];

const patterns: readonly Pattern[] = [
  pattern('matmul', [6, 12, 8], [2, 4, 3, 0, 0, 0, 1, 0, 0], [0, 1, 2, 6], [0, 1, 2], [7, 8]),
  pattern('linears', [6, 12, 15, 8, 10], [2, 3, 0, 4, 5], [0, 1, 3, 4], [0, 1, 2, 3, 4]),
  pattern('linears_grad', [6, 12, 15, 8, 10, 6, 12, 15], [2, 3, 0, 4, 5], [0, 1, 3, 4], [0, 1, 2, 3, 4, 5]),
  pattern('convert', [5, [5, bf16]], [5], [0], [0]),
  pattern('fill', [5], [5, 1.5], [0], [0]),
  pattern('binary', [6, 3, 6], [0, 2, 2, 3, 0, 3, 1, 1], [2, 5], [], [0, 1, 3, 4, 6, 7]),
  pattern('unary', [5, 5], [5, 0], [0], [], [1]),
  pattern('sum_axis', [12, 4], [2, 3, 2, 1], [0, 1, 2], [0]),
  pattern('copy_strided', [6, 6], [2, 0, 0, 3, 1, 2, 2, 3, 1], [3, 6], [], [0, 1, 2, 4, 5, 7, 8]),
  pattern('swiglu', [5, 5, 5], [5], [0]),
  pattern('swiglu_grad', [5, 5, 5, 5, 5], [5], [0]),
  pattern('rms_norm', [12, 6, 12], [2, 2, 3, 1e-6], [0, 1, 2]),
  pattern('rms_norm_grad', [12, 6, 12, 12, 6], [2, 2, 3, 1e-6], [0, 1, 2]),
  pattern('residual_step', [12, 12, 3, 12, 12], [4, 3, 1e-6], [0, 1]),
  pattern('residual_step_grad', [12, 3, 12, 12, 12, 3], [4, 3, 1e-6], [0, 1]),
  pattern('rotary_embedding', [24, 24], [2, 3, 1, 4, 1e4, 0, 0], [0, 1, 2, 3]),
  pattern('causal_attention', [8, 6, 6, 8, 4], [1, 2, 3, 2, 1, 2], [0, 1, 2, 3, 4, 5]),
  pattern('causal_attention_grad', [8, 6, 6, 8, 8, 4, 8, 6, 6], [1, 2, 3, 2, 1, 2], [0, 1, 2, 3, 4, 5]),
  pattern('embedding_lookup', [12, [2, i32], 8], [3, 4, 2], [0, 1, 2], [0, 2]),
  pattern('embedding_lookup_grad', [[2, i32], 8, 12], [3, 4, 2], [0, 1, 2], [1]),
  pattern('linear_cross_entropy', [6, 12, [2, i32], 2, 2], [2, 3, 4, -100, 0], [0, 1, 2], [0, 1]),
  pattern('linear_cross_entropy_grad', [6, 12, [2, i32], 2, 2, 6, 12], [2, 3, 4, -100, 0], [0, 1, 2], [0, 1, 5]),
  pattern('mean_cross_entropy', [6, 12, [2, i32], 1, 6, 12], [2, 3, 4, -100, 0], [0, 1, 2], [0, 1, 4]),
  pattern('adamw', [3, 3, 3, 3, 3, 1], [1, 0.9, 0.99, 1e-8, 0], [0, 4]),
  pattern('adamw', [3, 3, 3, 3, 3, 1, [3, bf16]], [1, 0.9, 0.99, 1e-8, 0, 0], [0, 4, 5]),
  pattern('clip_scale', [1, 1, 1], [1], []),
  pattern('add_pairs', [3, 3, 5, 5, 3, 5], [2], [0]),
  pattern('global_norm', [3, 2, 1], [], []),
  pattern('measure_peaks', [3, 8, 8], [0], []),
  pattern('connection_step', stepBuffers([]), stepNumbers(0), [0, 1, 2, 3]),
  pattern('connection_step', stepBuffers([3]), stepNumbers(1), [0, 1, 2, 3]),
  pattern('connection_step_grad', stepGradBuffers([]), [...stepNumbers(0), 1], [0, 1, 2, 3]),
  pattern('connection_step_grad', stepGradBuffers([3]), [...stepNumbers(1), 1], [0, 1, 2, 3]),
  pattern('grouped_linear', [groups, 9, 12, 12, 6, 6, 12, 6], groupNumbers, [0, 1, 2, 4, 5], [1, 2, 3, 4, 5, 6, 7]),
  pattern(
    'grouped_linear_grad',
    [groups, 9, 12, 12, 6, 6, 12, 6, 9, 12, 12, 6, 6],
    groupNumbers,
    [0, 1, 2, 4, 5],
    [1, 2, 3, 4, 5, 6, 7, 8],
  ),
  pattern('route_tokens', [12, 12, 6, [6, i32], [6, i32], [5, i32], 4], [3, 4, 2], [0, 1, 2], [0]),
  pattern('route_tokens_grad', [12, routedRows, routedOffsets, 12, 6, 12], [3, 4, 2], [0, 1, 2], [5]),
];

/** Products of dimensions that come out as the buffers' sizes once 64 bits have overflowed. */
const overflowing: readonly NativeCall[] = [
  pattern('matmul', [0, 0, 0], [2 ** 32, 2 ** 32, 0, 0, 0, 0, 1, 0, 0], []),
  // 968973220 · 19037413721 = 2⁶⁴ + 4
  pattern('binary', [1, 1, 4], [0, 2, 968973220, 0, 0, 19037413721, 0, 0], []),
  pattern('sum_axis', [0, 2 ** 12], [4, 2 ** 52, 2 ** 10, 1], []),
  pattern('copy_strided', [1, 1], [3, 0, 0, 2 ** 32, 0, 0, 2 ** 32, 0, 0, 1, 0, 0], []),
  pattern('rms_norm', [0, 4096, 0], [2 ** 52, 1, 4096, 1e-6], []),
  pattern('rms_norm_grad', [0, 4096, 0, 0, 4096], [2 ** 52, 1, 4096, 1e-6], []),
  pattern('residual_step', [0, 0, 4096, 0, 0], [2 ** 52, 4096, 1e-6], []),
  pattern('residual_step_grad', [0, 4096, 0, 0, 0, 4096], [2 ** 52, 4096, 1e-6], []),
  pattern('rotary_embedding', [0, 0], [1, 2 ** 32, 2 ** 31, 2, 1e4, 0, 0], []),
  pattern('causal_attention', [0, 0, 0, 0, 0], [1, 2 ** 32, 2 ** 32, 2 ** 32, 2 ** 32, 1], []),
  pattern('causal_attention_grad', [0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 2 ** 32, 2 ** 32, 2 ** 32, 2 ** 32, 1], []),
  pattern('embedding_lookup', [0, [1, i32], 4096], [2 ** 52, 4096, 1], []),
  pattern('embedding_lookup_grad', [[1, i32], 4096, 0], [2 ** 52, 4096, 1], []),
  pattern('linear_cross_entropy', [0, 0, [4096, i32], 4096, 4096], [4096, 2 ** 52, 4096, -100, 0], []),
  pattern('linear_cross_entropy_grad', [0, 0, [4096, i32], 4096, 4096, 0, 0], [4096, 2 ** 52, 4096, -100, 0], []),
  pattern('mean_cross_entropy', [0, 0, [4096, i32], 1, 0, 0], [4096, 2 ** 52, 4096, -100, 0], []),
  pattern('grouped_linear', [[2, i32], 0, 0, 0], [2 ** 52, 4096, 1, 0, 4096], []),
  pattern('grouped_linear_grad', [[2, i32], 0, 0, 0, 0, 0], [2 ** 52, 4096, 1, 0, 4096], []),
  pattern('route_tokens', [0, 0, 4096, [4096, i32], [4096, i32], [4097, i32], 4096], [2 ** 52, 4096, 4096], []),
  pattern('route_tokens_grad', [0, [0, i32], [4097, i32], 0, 0, 0], [2 ** 52, 4096, 4096], []),
  pattern('adamw', [3, 1], [2 ** 31, 0.9, 0.99, 1e-8], []),
  pattern('connection_step', [0, 0, 32, 16, 0], [4, 4, 1024, 2 ** 52, 1e-5, 1, 0, 0, 0, 0], []),
  pattern('connection_step_grad', [0, 0, 32, 16, 0, 0, 0, 32, 16], [4, 4, 1024, 2 ** 52, 1e-5, 1, 0, 0, 0, 0, 1], []),
];

/** Calls whose sizes and types are right and whose lists are not. */
const wrongLists: readonly (NativeCall & { wrong: string })[] = [
  ...[
    [1, 1, 3],
    [0, 1, 2],
    [0, 4, 3],
    [0, -1, 3],
    [0, 1, 4],
    [-1, 1, 3],
  ].flatMap((values) => {
    const offsets: Buffer = [3, i32, values];
    const wrong = `offsets are ${values.join(', ')}`;
    return [
      { ...pattern('grouped_linear', [offsets, 9, 12, 12, 12], groupNumbers.slice(0, 5), []), wrong },
      { ...pattern('grouped_linear_grad', [offsets, 9, 12, 12, 12, 9, 12, 12], groupNumbers.slice(0, 5), []), wrong },
    ];
  }),
  ...[
    { rows: [0, 1, 2, 3, 4, 6], offsets: [0, 2, 2, 4, 6] },
    { rows: [0, 1, 2, 3, 4, -1], offsets: [0, 2, 2, 4, 6] },
    { rows: [0, 1, 2, 3, 4, 5], offsets: [0, 2, 1, 4, 6] },
    { rows: [0, 1, 2, 3, 4, 5], offsets: [0, 2, 2, 4, 7] },
  ].map(({ rows, offsets }) => ({
    ...pattern('route_tokens_grad', [12, [6, i32, rows], [5, i32, offsets], 12, 6, 12], [3, 4, 2], []),
    wrong: `rows are ${rows.join(', ')}, offsets ${offsets.join(', ')}`,
  })),
];

const replaced = <T>(list: readonly T[], at: number, value: T) => list.map((each, i) => (i === at ? value : each));

function* wrongSizes({ buffers, ...rest }: Pattern): Generator<Attempt> {
  const attempt = (wrong: string, changed: readonly Buffer[]): Attempt => ({ ...rest, buffers: changed, wrong });
  if (rest.numbers.length > 0) yield { ...rest, buffers, numbers: [], wrong: 'no numbers' };
  yield { ...rest, buffers: [], numbers: [], wrong: 'nothing at all' };
  yield attempt('no buffers', []);
  yield attempt('the last buffer is missing', buffers.slice(0, -1));
  for (const [i, [size, type]] of buffers.entries()) {
    // Any tensor has a norm, whatever its size.
    if (rest.function === 'global_norm' && i < buffers.length - 1) continue;
    yield attempt(`buffer ${i} is one element short`, replaced(buffers, i, [size - 1, type]));
    yield attempt(`buffer ${i} is empty`, replaced(buffers, i, [0, type]));
  }
}

function* wrongTypes({ buffers, mixed, ...rest }: Pattern): Generator<Attempt> {
  for (const [i, [size, type]] of buffers.entries()) {
    const others = type === i32 ? [f32, u8] : type === f32 && !mixed.includes(i) ? [bf16, i32, u8] : [i32, u8];
    for (const other of others)
      yield {
        ...rest,
        buffers: replaced(buffers, i, [size, other]),
        wrong: `buffer ${i} is of type ${other}, not ${type}`,
      };
  }
}

function* wrongNumbers({ numbers, dimensions, others, ...rest }: Pattern): Generator<Attempt> {
  const attempt = (wrong: string, changed: readonly number[]): Attempt => ({ ...rest, numbers: changed, wrong });
  const negated = (list: readonly number[], at: number) => replaced(list, at, -(list[at] as number) || -1);
  for (const at of [...dimensions, ...others])
    for (const value of [-1, -(2 ** 31), 2 ** 31, 2 ** 40, 2 ** 53])
      yield attempt(`number ${at} is ${value}`, replaced(numbers, at, value));
  for (const at of dimensions)
    for (const value of [2 ** 62, Infinity, -Infinity, NaN])
      yield attempt(`number ${at} is ${value}`, replaced(numbers, at, value));
  for (const at of dimensions)
    for (const other of dimensions.filter((each) => each > at))
      yield attempt(`numbers ${at} and ${other} are negative`, negated(negated(numbers, at), other));
}

function* allAttempts(): Generator<Attempt> {
  for (const each of patterns) {
    yield { ...each, wrong: '' };
    for (const i of each.mixed)
      yield { ...each, buffers: replaced(each.buffers, i, [(each.buffers[i] as Buffer)[0], bf16]), wrong: '' };
    yield* wrongSizes(each);
    yield* wrongTypes(each);
    yield* wrongNumbers(each);
  }
  yield* wrongLists;
  for (const each of overflowing) yield { ...each, wrong: 'dimensions whose product overflows' };
}

export const attempts: readonly Attempt[] = [...allAttempts()];
