import { add, concat, mul, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { segmentWidth } from './internal/connection-shapes';
import { leftTransposed, matmul } from './internal/matmul';
import { requireEpsilon } from '../arguments';
import { sumRows } from './internal/reductions';
import { requireFloats } from './internal/shapes';
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

/** The halves of W_mix that meet the hidden state and the embedding, [db, db] each. */
function halves(mix: Tensor): [Tensor, Tensor] {
  const db = mix.shape[0] as number;
  return [slice(mix, [0, 0], [db, db]), slice(mix, [0, db], [db, db])];
}

const gradKernel = defineKernel<Inputs | 'dz', Attrs>({
  name: KernelName.BlockMixGrad,
  inputs: [...inputNames, 'dz'],
  composed: ({ hidden, embed, hiddenNorm, embedNorm, mix, dz }, { eps }) => {
    const db = hiddenNorm.size;
    const dRows = reshape(dz, [dz.size / db, db]);
    const timesRows = leftTransposed(dRows);
    const [hiddenHalf, embedHalf] = halves(mix);
    const side = (x: Tensor, weight: Tensor, half: Tensor) => {
      const { reciprocal, normalized, scaled } = normalize(x, weight, eps);
      const dScaled = matmul(dRows, half);
      return {
        x: reshape(normalizedGradient(mul(dScaled, weight), normalized, reciprocal), x.shape),
        weight: sumRows(mul(dScaled, normalized)),
        half: timesRows(scaled),
      };
    };
    const h = side(hidden, hiddenNorm, hiddenHalf);
    const e = side(embed, embedNorm, embedHalf);
    return [h.x, e.x, h.weight, e.weight, concat([h.half, e.half], 1)];
  },
});

const kernel = defineKernel<Inputs, Attrs>({
  name: KernelName.BlockMix,
  inputs: inputNames,
  composed: ({ hidden, embed, hiddenNorm, embedNorm, mix }, { eps }) => {
    const [hiddenHalf, embedHalf] = halves(mix);
    const fromHidden = matmul(normalize(hidden, hiddenNorm, eps).scaled, hiddenHalf, false, true);
    const fromEmbed = matmul(normalize(embed, embedNorm, eps).scaled, embedHalf, false, true);
    return reshape(add(fromHidden, fromEmbed), hidden.shape);
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
 * @throws ShapeError; ConfigError when n or eps cannot be one
 */
export function blockMix(
  hidden: Tensor,
  embed: Tensor,
  { hiddenNorm, embedNorm, mix }: BlockMixParameters,
  { n, eps }: Attrs,
): Tensor {
  const op = 'blockMix';
  const db = segmentWidth(op, 'hidden', hidden, n);
  requireEpsilon(op, 'eps', eps);
  requireFloats(op, 'embed', embed, hidden.shape, 'hidden and embed are over-width states of the same tokens');
  requireFloats(op, 'hiddenNorm', hiddenNorm, [db]);
  requireFloats(op, 'embedNorm', embedNorm, [db]);
  requireFloats(op, 'mix', mix, [db, 2 * db], 'W_mix is [db, 2db], shared by all segments');
  return kernel({ hidden, embed, hiddenNorm, embedNorm, mix }, { n, eps })[0] as Tensor;
}
