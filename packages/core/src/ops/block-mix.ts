import { concat, mul, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { segmentWidth } from './internal/connection-shapes';
import { matmul } from './internal/matmul';
import { sumRows } from './internal/reductions';
import { requireShape } from './internal/shapes';
import { normalizedGradient, reciprocalRms } from './rms-norm';

interface Attrs {
  readonly n: number;
  readonly eps: number;
}

const inputNames = ['hidden', 'embed', 'hiddenNorm', 'embedNorm', 'mix'] as const;
type Inputs = (typeof inputNames)[number];

/** A side of the mix, segment by segment: x̂ = x/rms(x) and x̂·weight, [P·n, db]. */
function normalize(x: Tensor, weight: Tensor, eps: number) {
  const rows = reshape(x, [x.size / weight.size, weight.size]);
  const reciprocal = reciprocalRms(rows, eps);
  const normalized = mul(rows, reciprocal);
  return { reciprocal, normalized, scaled: mul(normalized, weight) };
}

const gradKernel = defineKernel<Inputs | 'dz', Attrs>({
  name: KernelName.BlockMixGrad,
  inputs: [...inputNames, 'dz'],
  composed: ({ hidden, embed, hiddenNorm, embedNorm, mix, dz }, { eps }) => {
    const db = hiddenNorm.size;
    const h = normalize(hidden, hiddenNorm, eps);
    const e = normalize(embed, embedNorm, eps);
    const dRows = reshape(dz, [dz.size / db, db]);
    const dBoth = matmul(dRows, mix);
    const rows = dBoth.shape[0] as number;
    const dH = slice(dBoth, [0, 0], [rows, db]);
    const dE = slice(dBoth, [0, db], [rows, db]);
    return [
      reshape(normalizedGradient(mul(dH, hiddenNorm), h.normalized, h.reciprocal), hidden.shape),
      reshape(normalizedGradient(mul(dE, embedNorm), e.normalized, e.reciprocal), embed.shape),
      sumRows(mul(dH, h.normalized)),
      sumRows(mul(dE, e.normalized)),
      matmul(dRows, concat([h.scaled, e.scaled], 1), true, false),
    ];
  },
});

const kernel = defineKernel<Inputs, Attrs>({
  name: KernelName.BlockMix,
  inputs: inputNames,
  composed: ({ hidden, embed, hiddenNorm, embedNorm, mix }, { eps }) => {
    const both = concat([normalize(hidden, hiddenNorm, eps).scaled, normalize(embed, embedNorm, eps).scaled], 1);
    return reshape(matmul(both, mix, false, true), hidden.shape);
  },
  gradient: {
    backward: ([dz], inputs, _outputs, attrs) => {
      const grads = gradKernel({ ...inputs, dz: dz as Tensor }, attrs);
      return Object.fromEntries(inputNames.map((name, i) => [name, grads[i] as Tensor]));
    },
  },
});

export interface BlockMixParameters {
  /** Norm weights of the two sides, [db] each. */
  readonly hiddenNorm: Tensor;
  readonly embedNorm: Tensor;
  /** W_mix [db, 2db], input order: hidden, embedding. */
  readonly mix: Tensor;
}

/**
 * Block-wise mixing of a multi-token head (§3.4), one W_mix for all n segments:
 * `z_seg = W_mix [RMSNorm(h_seg) ; RMSNorm(e_seg)]`; hidden and embed [..., n·db] → [..., n·db].
 * @throws ShapeError
 */
export function blockMix(
  hidden: Tensor,
  embed: Tensor,
  { hiddenNorm, embedNorm, mix }: BlockMixParameters,
  { n, eps }: Attrs,
): Tensor {
  const op = 'blockMix';
  const db = segmentWidth(op, hidden, n);
  requireShape(op, 'embed', embed, hidden.shape, 'hidden and embed are over-width states of the same tokens');
  requireShape(op, 'hiddenNorm', hiddenNorm, [db]);
  requireShape(op, 'embedNorm', embedNorm, [db]);
  requireShape(op, 'mix', mix, [db, 2 * db], 'W_mix is [db, 2db], shared by all segments');
  return kernel({ hidden, embed, hiddenNorm, embedNorm, mix }, { n, eps })[0] as Tensor;
}
