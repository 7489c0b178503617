import { connectionRead, connectionStep, connectionWrite } from '@vwn/core';
import { add, type Tensor } from '@tensorflow/tfjs-core';
import type { Connection } from './connection';

/** A function [..., D] → [..., D] with its own pre-norm, and what connects it to the over-width state. */
export interface Sublayer {
  /** Absent: the plain residual `h + f(h)`. */
  readonly connection: Connection | undefined;
  apply(x: Tensor): Tensor;
}

/**
 * Sends the state through sublayers in order. Where the backend has the fused step, depth(l) and width(l+1) are one
 * kernel and the carry is never stored; elsewhere the two halves run apart. Sublayers do not know which.
 */
export function runSublayers(h: Tensor, sublayers: readonly Sublayer[]): Tensor {
  const connections = sublayers.flatMap(({ connection }) => connection ?? []);
  const uniform = new Set(connections.map(({ parameters }) => parameters.dynamic === undefined)).size === 1;
  if (connections.length === sublayers.length && uniform && (connections[0] as Connection).isNative())
    return runFused(h, sublayers, connections);
  return sublayers.reduce(
    (state, { connection, apply }) => (connection ? connection.around(state, apply) : add(state, apply(state))),
    h,
  );
}

function runFused(h: Tensor, sublayers: readonly Sublayer[], connections: readonly Connection[]): Tensor {
  const last = sublayers.length - 1;
  const [first, final] = [connections[0] as Connection, connections[last] as Connection];
  let state = h;
  let x = connectionRead(state, first.parameters, first.sizes);
  for (let l = 0; l < last; l++) {
    const [previous, next] = [connections[l] as Connection, connections[l + 1] as Connection];
    const out = (sublayers[l] as Sublayer).apply(x);
    ({ h: state, x } = connectionStep(state, out, previous.parameters, next.parameters, previous.sizes));
  }
  return connectionWrite(state, (sublayers[last] as Sublayer).apply(x), final.parameters, final.sizes);
}
