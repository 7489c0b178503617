import { add, clone, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { segmentWidth } from './internal/connection-shapes';
import { segmentsOf, writeSegments, writeSegmentsGradients } from './internal/connection-math';
import { requirePositiveWhole } from '../arguments';
import { requireFloats, rowsOf } from './internal/shapes';

interface Attrs {
  readonly m: number;
  readonly n: number;
}

/** Static [n, m] as it is; dynamic [..., n, m] → [P, n, m]. */
function betaRows(beta: Tensor, out: Tensor, { m, n }: Attrs): Tensor {
  return beta.rank === 2 && out.rank !== 1 ? beta : reshape(beta, [rowsOf(out), n, m]);
}

const gradKernel = defineKernel<'out' | 'beta' | 'dh', Attrs>({
  name: KernelName.DepthConnectionGrad,
  inputs: ['out', 'beta', 'dh'],
  composed: ({ out, beta, dh }, attrs) => {
    const grads = writeSegmentsGradients(betaRows(beta, out, attrs), segmentsOf(out, attrs.m), segmentsOf(dh, attrs.n));
    return [reshape(grads.o, out.shape), reshape(grads.beta, beta.shape)];
  },
});

const kernel = defineKernel<'out' | 'carry' | 'beta', Attrs>({
  name: KernelName.DepthConnection,
  inputs: ['out', 'carry', 'beta'],
  composed: ({ out, carry, beta }, attrs) =>
    add(reshape(writeSegments(betaRows(beta, out, attrs), segmentsOf(out, attrs.m)), carry.shape), carry),
  gradient: {
    backward: ([dh], { out, beta }, _outputs, attrs) => {
      // A copy by reference: the tape disposes of an input's gradient on its own schedule.
      const [dOut, dBeta] = gradKernel({ out, beta, dh: dh as Tensor }, attrs);
      return { out: dOut as Tensor, beta: dBeta as Tensor, carry: clone(dh as Tensor) };
    },
  },
});

/**
 * Depth connection (eq. 10, Algorithm 3): `H'_next = Bᵀ reshape(o, m, db) + carry`. out [..., D], carry [..., n·db],
 * beta [..., n, m], or [n, m] when static → [..., n·db].
 * @throws ShapeError; ConfigError when m or n is no positive whole number
 */
export function depthConnection(out: Tensor, carry: Tensor, beta: Tensor, { m, n }: Attrs): Tensor {
  const op = 'depthConnection';
  const db = segmentWidth(op, 'carry', carry, n);
  requirePositiveWhole(op, 'm', m);
  requireFloats(
    op,
    'out',
    out,
    [...carry.shape.slice(0, -1), m * db],
    'out has the leading dimensions of the carry and width D = m·db',
  );
  const isDynamic = beta.rank === carry.rank + 1;
  if (!isDynamic && beta.rank !== 2)
    throw new ShapeError(`${op}: beta has the wrong rank`, {
      expected: '[n, m] (static) or [..., n, m] (dynamic)',
      got: `[${beta.shape.join(', ')}]`,
    });
  requireFloats(op, 'beta', beta, isDynamic ? [...carry.shape.slice(0, -1), n, m] : [n, m]);
  return kernel({ out, carry, beta }, { m, n })[0] as Tensor;
}
