import type { Tensor } from '@tensorflow/tfjs-core';
import { KernelName } from '../kernel-names';
import { causalAttention } from '../ops/causal-attention';
import { embeddingLookup } from '../ops/embedding-lookup';
import { groupLayerNorm, groupRmsNorm } from '../ops/group-norm';
import { linear } from '../ops/linear';
import { linears } from '../ops/linears';
import { linearCrossEntropy } from '../ops/linear-cross-entropy';
import { meanCrossEntropy } from '../ops/mean-cross-entropy';
import { residualStep } from '../ops/residual-step';
import { rmsNorm } from '../ops/rms-norm';
import { rotaryEmbedding } from '../ops/rotary-embedding';
import { swiGlu } from '../ops/swi-glu';
import type { Rng } from '../random';
import { integerInput, normalInput, type CaseInputs, type OpCase } from './op-case';

type Size = OpCase['size'];

interface CaseParts {
  readonly op: string;
  readonly sizes: string;
  readonly kernels: readonly string[];
  readonly size: Size;
  /** Shapes of the float inputs, which are the differentiable ones. */
  readonly shapes: Readonly<Record<string, number[]>>;
  /** Inputs besides: integers. */
  readonly others?: (rng: Rng) => CaseInputs;
  readonly run: (inputs: CaseInputs) => Tensor | Tensor[];
  readonly flops?: number;
}

/** A row whose float inputs are normal numbers of the given shapes. */
export function opCase({ op, sizes, kernels, size, shapes, others, run, flops }: CaseParts): OpCase {
  return {
    name: `${op} ${sizes}`,
    op,
    kernels,
    size,
    differentiable: Object.keys(shapes),
    inputs: (rng) => ({
      ...Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => [name, normalInput(rng.fork(name), shape, 0.7)]),
      ),
      ...others?.(rng),
    }),
    run: (inputs) => [run(inputs)].flat(),
    ...(flops === undefined ? {} : { flops }),
  };
}

const get = (inputs: CaseInputs, name: string) => inputs[name] as Tensor;

/** Large against small inputs, so that finite differences also see where eps stands. */
const smallEps = 0.3;

function linearCase(lead: number[], input: number, output: number, size: Size): OpCase {
  const rows = lead.reduce((a, b) => a * b, 1);
  return opCase({
    op: 'linear',
    sizes: `[${lead.join(', ')}, ${input}] to ${output}`,
    kernels: [KernelName.Linear, KernelName.LinearGrad],
    size,
    shapes: { x: [...lead, input], weight: [output, input] },
    run: (inputs) => linear(get(inputs, 'x'), get(inputs, 'weight')),
    flops: 2 * rows * input * output,
  });
}

function linearsCase(lead: number[], input: number, outputs: readonly number[], size: Size): OpCase {
  const rows = lead.reduce((a, b) => a * b, 1);
  const weights = outputs.map((output, i) => [`weight${i}`, [output, input]] as const);
  const K = KernelName;
  return opCase({
    op: 'linears',
    sizes: `[${lead.join(', ')}, ${input}] to ${outputs.join(', ')}`,
    kernels: outputs.length === 2 ? [K.LinearPair, K.LinearPairGrad] : [K.LinearTriple, K.LinearTripleGrad],
    size,
    shapes: { x: [...lead, input], ...Object.fromEntries(weights) },
    run: (inputs) => {
      const tensors = weights.map(([name]) => get(inputs, name));
      return linears(get(inputs, 'x'), tensors);
    },
    flops: outputs.reduce((sum, output) => sum + 2 * rows * input * output, 0),
  });
}

function normCase(shape: number[], size: Size): OpCase {
  return opCase({
    op: 'rmsNorm',
    sizes: `[${shape.join(', ')}]`,
    kernels: [KernelName.RmsNorm, KernelName.RmsNormGrad],
    size,
    shapes: { x: shape, weight: shape.slice(-1) },
    run: (inputs) => rmsNorm(get(inputs, 'x'), get(inputs, 'weight'), size === 'small' ? smallEps : 1e-6),
  });
}

function residualCase(shape: number[], size: Size): OpCase {
  const eps = size === 'small' ? smallEps : 1e-6;
  return opCase({
    op: 'residualStep',
    sizes: `[${shape.join(', ')}]`,
    kernels: [KernelName.ResidualStep, KernelName.ResidualStepGrad],
    size,
    shapes: { h: shape, out: shape, weight: shape.slice(-1) },
    run: (inputs) => {
      const { h, x } = residualStep(get(inputs, 'h'), get(inputs, 'out'), { weight: get(inputs, 'weight'), eps });
      return [h, x];
    },
  });
}

function groupCases(shape: number[], groupSize: number, size: Size): OpCase[] {
  const width = shape.slice(-1);
  const eps = size === 'small' ? smallEps : 1e-6;
  const sizes = `[${shape.join(', ')}] in groups of ${groupSize}`;
  return [
    opCase({
      op: 'groupRmsNorm',
      sizes,
      kernels: [KernelName.GroupRmsNorm, KernelName.GroupRmsNormGrad],
      size,
      shapes: { x: shape, weight: width },
      run: (inputs) => groupRmsNorm(get(inputs, 'x'), get(inputs, 'weight'), groupSize, eps),
    }),
    opCase({
      op: 'groupLayerNorm',
      sizes,
      kernels: [KernelName.GroupLayerNorm, KernelName.GroupLayerNormGrad],
      size,
      shapes: { x: shape, weight: width, bias: width },
      run: (inputs) => groupLayerNorm(get(inputs, 'x'), get(inputs, 'weight'), get(inputs, 'bias'), groupSize, eps),
    }),
  ];
}

function rotaryCase(shape: number[], offset: number, size: Size): OpCase {
  return opCase({
    op: 'rotaryEmbedding',
    sizes: `[${shape.join(', ')}] from position ${offset}`,
    kernels: [KernelName.RotaryEmbedding],
    size,
    shapes: { x: shape },
    run: (inputs) => rotaryEmbedding(get(inputs, 'x'), { theta: 10000, offset }),
  });
}

function attentionCase([B, T, S, H, K, d]: [number, number, number, number, number, number], size: Size): OpCase {
  return opCase({
    op: 'causalAttention',
    sizes: `B=${B} T=${T} S=${S} H=${H} K=${K} d=${d}`,
    kernels: [KernelName.CausalAttention, KernelName.CausalAttentionGrad],
    size,
    shapes: { q: [B, T, H, d], k: [B, S, K, d], v: [B, S, K, d] },
    run: (inputs) => causalAttention(get(inputs, 'q'), get(inputs, 'k'), get(inputs, 'v')),
    flops: 4 * B * H * T * S * d,
  });
}

function swiGluCase(shape: number[], size: Size): OpCase {
  return opCase({
    op: 'swiGlu',
    sizes: `[${shape.join(', ')}]`,
    kernels: [KernelName.SwiGlu, KernelName.SwiGluGrad],
    size,
    shapes: { gate: shape, up: shape },
    run: (inputs) => swiGlu(get(inputs, 'gate'), get(inputs, 'up')),
  });
}

function embeddingCase(V: number, W: number, ids: number[], size: Size): OpCase {
  return opCase({
    op: 'embeddingLookup',
    sizes: `[${V}, ${W}] at [${ids.join(', ')}]`,
    kernels: [KernelName.EmbeddingLookup, KernelName.EmbeddingLookupGrad],
    size,
    shapes: { table: [V, W] },
    others: (rng) => ({ ids: integerInput(rng.fork('ids'), ids, V) }),
    run: (inputs) => embeddingLookup(get(inputs, 'table'), get(inputs, 'ids')),
  });
}

type CrossEntropy = typeof linearCrossEntropy | typeof meanCrossEntropy;

/** Target 0 is the ignored one, so that some rows are. */
function crossEntropyCase(
  op: string,
  run: CrossEntropy,
  kernels: readonly string[],
  [N, D, V, chunkRows]: readonly [number, number, number, number],
  size: Size,
): OpCase {
  return opCase({
    op,
    sizes: `N=${N} D=${D} V=${V} in chunks of ${chunkRows}`,
    kernels,
    size,
    shapes: { hidden: [N, D], weight: [V, D] },
    others: (rng) => ({ targets: integerInput(rng.fork('targets'), [N], V) }),
    run: (inputs) =>
      run(get(inputs, 'hidden'), get(inputs, 'weight'), get(inputs, 'targets'), { ignoreIndex: 0, chunkRows }),
    flops: 2 * N * D * V,
  });
}

/** Of rows, and their mean, whose own kernel runs where a gradient is taken. */
function crossEntropyCases(sizes: readonly [number, number, number, number], size: Size): OpCase[] {
  const K = KernelName;
  const ofRows = [K.LinearCrossEntropy, K.LinearCrossEntropyGrad];
  return [
    crossEntropyCase('linearCrossEntropy', linearCrossEntropy, ofRows, sizes, size),
    crossEntropyCase('meanCrossEntropy', meanCrossEntropy, [K.MeanCrossEntropy], sizes, size),
  ];
}

/** The transformer's operations: sizes of one, odd sizes, grouped heads, cached keys, repeated ids, ignored targets. */
export const transformerCases: readonly OpCase[] = [
  linearCase([1], 1, 1, 'small'),
  linearCase([2, 3], 5, 7, 'small'),
  linearCase([4, 1, 2], 3, 9, 'small'),
  linearCase([1], 37, 50, 'small'),
  linearCase([4], 16, 65, 'small'),
  linearCase([2048], 128, 352, 'large'),
  linearsCase([1], 1, [1, 2], 'small'),
  linearsCase([2, 3], 5, [7, 4], 'small'),
  linearsCase([4, 2], 6, [3, 8, 1], 'small'),
  linearsCase([3], 40, [19, 33], 'small'),
  linearsCase([2048], 128, [128, 64, 64], 'large'),
  normCase([3, 1], 'small'),
  normCase([2, 3, 7], 'small'),
  normCase([2048, 128], 'large'),
  residualCase([3, 1], 'small'),
  residualCase([2, 3, 7], 'small'),
  residualCase([5, 40], 'small'),
  residualCase([2048, 128], 'large'),
  ...groupCases([4, 6], 3, 'small'),
  ...groupCases([2, 1, 10], 10, 'small'),
  ...groupCases([2048, 512], 128, 'large'),
  rotaryCase([1, 1, 1, 2], 0, 'small'),
  rotaryCase([2, 5, 3, 6], 4, 'small'),
  rotaryCase([16, 128, 4, 32], 0, 'large'),
  attentionCase([1, 1, 1, 1, 1, 1], 'small'),
  attentionCase([2, 5, 5, 4, 2, 3], 'small'),
  attentionCase([1, 3, 8, 6, 1, 4], 'small'),
  attentionCase([2, 1, 7, 2, 2, 5], 'small'),
  attentionCase([16, 128, 128, 4, 4, 32], 'large'),
  swiGluCase([1], 'small'),
  swiGluCase([3, 5], 'small'),
  swiGluCase([2048, 352], 'large'),
  embeddingCase(1, 1, [1], 'small'),
  embeddingCase(5, 3, [2, 9], 'small'),
  embeddingCase(4096, 512, [16, 128], 'large'),
  ...crossEntropyCases([1, 1, 2, 1], 'small'),
  ...crossEntropyCases([7, 5, 11, 3], 'small'),
  ...crossEntropyCases([9, 4, 3, 100], 'small'),
  ...crossEntropyCases([2048, 128, 4096, 2048], 'large'),
];
