import { connectionStep, hasNativeKernel, KernelName } from '@vwn/core';
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
  if (connections.length === sublayers.length && uniform && hasNativeStep(connections[0] as Connection))
    return runFused(h, sublayers, connections);
  return sublayers.reduce(
    (state, { connection, apply }) => (connection ? connection.around(state, apply) : add(state, apply(state))),
    h,
  );
}

function hasNativeStep({ parameters }: Connection): boolean {
  return hasNativeKernel(parameters.dynamic ? KernelName.ConnectionStep : KernelName.StaticConnectionStep);
}

function runFused(h: Tensor, sublayers: readonly Sublayer[], connections: readonly Connection[]): Tensor {
  const last = sublayers.length - 1;
  let state = h;
  let { x } = (connections[0] as Connection).width(state);
  for (let l = 0; l < last; l++) {
    const [previous, next] = [connections[l] as Connection, connections[l + 1] as Connection];
    const out = (sublayers[l] as Sublayer).apply(x);
    ({ h: state, x } = connectionStep(state, out, previous.parameters, next.parameters, previous.sizes));
  }
  const final = connections[last] as Connection;
  const { carry, beta } = final.width(state);
  return final.depth((sublayers[last] as Sublayer).apply(x), carry, beta);
}
