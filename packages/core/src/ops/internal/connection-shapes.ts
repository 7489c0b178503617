import type { Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../../errors';
import { requirePositiveWhole } from '../../arguments';
import { lastOf, requireFloat } from './shapes';

/** db of an over-width state [..., n·db]. @throws ShapeError; ConfigError when n is no number of slots */
export function segmentWidth(op: string, name: string, h: Tensor, n: number): number {
  requirePositiveWhole(op, 'n', n);
  requireFloat(op, name, h);
  const overWidth = h.rank > 0 ? lastOf(h) : 0;
  if (h.rank > 0 && overWidth > 0 && overWidth % n === 0) return overWidth / n;
  throw new ShapeError(`${op}: the over-width state does not consist of n slots`, {
    expected: `a last dimension that is a multiple of n = ${n}`,
    got: `[${h.shape.join(', ')}]`,
    hint: `${name} is [..., n·db], slot after slot, with db = D/m`,
  });
}
