/** Products through cuBLASLt, whose place a strict one on the host takes; vwn-cpu says what they are. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  asHalves,
  cudaDevice,
  expectRounding,
  expectSame,
  randomOperand,
  result,
  runOnCuda,
  type Storage,
} from './support/both-libraries';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let folder = '';
const log = () => join(folder, 'products.txt');

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-cublaslt-'));
  const library = join(folder, 'libcublasLt.so');
  const compiler = process.env.CXX ?? 'g++';
  execFileSync(compiler, ['-std=c++20', '-shared', '-fPIC', here('support/fake-cublaslt.cc'), '-o', library]);
  process.env.VWN_CUBLASLT = library;
  process.env.FAKE_CUBLASLT_LOG = log();
});
afterEach(() => {
  delete process.env.FAKE_CUBLASLT;
  rmSync(log(), { force: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What cuBLASLt has made since the test began: types of operands and result, M×N×K, batch. */
const products = () => (existsSync(log()) ? readFileSync(log(), 'utf8').trim().split('\n') : []);

const transposed = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;

describe('matmul by cuBLASLt', () => {
  it('is told with its version as what the backend runs on', () => {
    expect(cudaDevice()).toMatch(/^emulated on the host, cuBLASLt 13\.1(, warpgroups)?$/);
  });

  for (const [M, N, K] of [
    [1, 1, 1],
    [65, 70, 33],
    [5, 130, 17],
  ] as const)
    for (const [a, b, c] of [
      ['f32', 'f32', 'f32'],
      ['bf16', 'bf16', 'f32'],
      ['bf16', 'bf16', 'bf16'],
    ] as const satisfies (readonly Storage[])[])
      it(`makes ${M}×${K} by ${K}×${N}, either transposed, of ${a} into ${c}`, () => {
        for (const [ta, tb] of transposed)
          expectSame(
            'matmul',
            [randomOperand(M * K, a), randomOperand(K * N, b, 2), result(M * N, c)],
            [M, N, K, ta, tb, 0, 1, 0, 0],
          );
        expect(products()).toEqual(new Array(4).fill(`${a} ${c} ${M}x${N}x${K} of 1`));
      });

  it('rounds operands that are float32 to bf16 where halves are asked for', () => {
    for (const [ta, tb] of transposed)
      for (const a of ['f32', 'bf16'] as const)
        expectRounding(
          'matmul',
          [randomOperand(20 * 48, a), randomOperand(48 * 30, 'f32', 2), result(600)],
          [20, 30, 48, ta, tb, 1, 1, 0, 0],
        );
    expect(products()).toEqual(new Array(8).fill('bf16 f32 20x30x48 of 1'));
  });

  it('walks a batch, or repeats an operand along it', () => {
    const [M, N, K, batch] = [3, 4, 5, 6];
    for (const halves of [0, 1])
      for (const [strideA, strideB] of [
        [M * K, K * N],
        [0, K * N],
        [M * K, 0],
      ] as const) {
        const operands = [
          asHalves(randomOperand((strideA ? batch : 1) * M * K)),
          asHalves(randomOperand((strideB ? batch : 1) * K * N, 'f32', 2)),
          result(batch * M * N),
        ];
        expectSame('matmul', operands, [M, N, K, 1, 0, halves, batch, strideA, strideB], 1e-5);
      }
    expect(products()).toHaveLength(6);
  });

  it('leaves mixed types, and what cuBLASLt has no algorithm for, to own kernels', () => {
    const numbers = [5, 7, 9, 0, 0, 0, 1, 0, 0];
    expectSame('matmul', [randomOperand(45, 'bf16'), randomOperand(63, 'f32', 2), result(35)], numbers);
    process.env.FAKE_CUBLASLT = 'picky';
    const batch = [3, 3, 3, 0, 0, 0, 2, 9, 9];
    expectSame('matmul', [randomOperand(18, 'bf16'), randomOperand(18, 'bf16', 2), result(18, 'bf16')], batch);
    expect(products()).toEqual([]);
  });

  it('has nothing to do with empty products', () => {
    expectSame('matmul', [randomOperand(6), randomOperand(0), result(0)], [3, 0, 2, 0, 0, 0, 1, 0, 0]);
    expectSame('matmul', [randomOperand(0), randomOperand(0), result(6)], [3, 2, 0, 0, 0, 0, 1, 0, 0]);
    expect(products()).toEqual([]);
  });

  it('throws cuBLASLt’s status, and how to do without it', () => {
    process.env.FAKE_CUBLASLT = 'broken';
    expect(() =>
      runOnCuda('matmul', [randomOperand(4), randomOperand(4), result(4)], [2, 2, 2, 0, 0, 0, 1, 0, 0]),
    ).toThrow('cuBLASLt cannot multiply: status 13; with VWN_CUBLASLT=none products are made without it');
  });
});

describe('gradients of linears by cuBLASLt', () => {
  it.each<Storage>(['f32', 'bf16'])('add one product to the next in %s', (storage) => {
    const [rows, width, outs] = [17, 9, [5, 33, 12]];
    const operands = [
      randomOperand(rows * width, 'bf16'),
      ...outs.map((out, i) => randomOperand(out * width, 'f32', i + 10)),
    ];
    const dys = outs.map((out, i) => randomOperand(rows * out, 'bf16', i));
    const results = [result(rows * width, storage), ...outs.map((out) => result(out * width))];
    expectSame('linears_grad', [...operands, ...dys, ...results], [rows, width, 1, ...outs]);
    expect(products()).toEqual([
      ...outs.map((out, i) => `bf16 ${storage} ${rows}x${width}x${out} of 1${i > 0 ? ' added' : ''}`),
      ...outs.map((out) => `bf16 f32 ${out}x${width}x${rows} of 1`),
    ]);
  });
});

describe('gradients of linears of which cuBLASLt has none', () => {
  beforeEach(() => {
    process.env.FAKE_CUBLASLT = 'empty';
  });

  it.each([
    { rows: 19, width: 7, outs: [5, 33, 12] },
    { rows: 66, width: 40, outs: [24, 32] },
    { rows: 130, width: 136, outs: [16, 72, 8] },
  ])('are added by own kernels, to bf16 too: %o', ({ rows, width, outs }) => {
    const operands = [
      randomOperand(rows * width, 'bf16'),
      ...outs.map((out, i) => randomOperand(out * width, 'bf16', i + 10)),
      ...outs.map((out, i) => randomOperand(rows * out, 'bf16', i)),
    ];
    const results = [result(rows * width, 'bf16'), ...outs.map((out) => result(out * width))];
    expectSame('linears_grad', [...operands, ...results], [rows, width, 1, ...outs]);
    expect(products()).toEqual([]);
  });
});

describe('linear cross-entropy by cuBLASLt', () => {
  const [N, D, V] = [150, 3, 100];
  const targets = { storage: 'i32' as const, values: Array.from({ length: N }, (_, i) => (i * 7) % V) };
  const operands = (storage: Storage) => [randomOperand(N * D, storage), randomOperand(V * D, 'f32', 2), targets];

  it.each<Storage>(['f32', 'bf16'])('sums gradients of chunks of rows of %s', (storage) => {
    const halves = storage === 'bf16' ? 1 : 0;
    const forward = [...operands(storage), result(N), result(N)];
    expectSame('linear_cross_entropy', forward, [N, D, V, -1, halves], 1e-3);
    expect(products().length).toBeGreaterThan(1);
    const [, , , , logSumExp] = runOnCuda('linear_cross_entropy', forward, [N, D, V, -1, halves]);
    const given = [{ storage: 'f32' as const, values: logSumExp as Float64Array }, randomOperand(N, 'f32', 3)];
    expectSame(
      'linear_cross_entropy_grad',
      [...operands(storage), ...given, result(N * D, storage), result(V * D)],
      [N, D, V, -1, halves],
    );
    expect(products().filter((line) => line.endsWith('added')).length).toBeGreaterThan(0);
    const mean = [...operands(storage), result(1), result(N * D, storage), result(V * D)];
    expectSame('mean_cross_entropy', mean, [N, D, V, -1, halves]);
  });
});
