import {
  connectionEntry,
  connectionStep,
  connectionWrite,
  residualStep,
  rmsNorm,
  usedTwice,
  type ConnectionParameters,
  type SublayerNorm,
} from '@vwn/core';
import { add, type Tensor } from '@tensorflow/tfjs-core';
import type { Connection } from './connection';

/** A function [..., D] → [..., D], the norm before it, and what connects both to the over-width state. */
export interface Sublayer {
  /** Absent: the plain residual `h + f(h)`. */
  readonly connection: Connection | undefined;
  /** Pre-norm, such as an RmsNormLayer: what `apply` gets has been through it. Absent: `apply` has its own, or none. */
  readonly norm?: SublayerNorm | undefined;
  apply(x: Tensor): Tensor;
}

/**
 * Sends the state through sublayers in order. Where the backend has the fused step, depth(l), width(l+1) and the norm of
 * sublayer l+1 are one kernel, and neither the carry nor what goes into the norm is ever stored; elsewhere they run
 * apart. Without connections, a residual sum and the norm behind it are one kernel. Sublayers do not know which.
 */
export function runSublayers(h: Tensor, sublayers: readonly Sublayer[]): Tensor {
  if (sublayers.every(({ connection }) => !connection)) return runPlain(h, sublayers);
  const connections = sublayers.flatMap(({ connection }) => connection ?? []);
  const uniform = new Set(connections.map(({ parameters }) => parameters.dynamic === undefined)).size === 1;
  const isNative = sublayers.every(({ connection, norm }) => connection?.isNative(norm !== undefined));
  if (isNative && uniform) return runFused(h, sublayers, connections);
  return sublayers.reduce(runAlone, h);
}

function runAlone(state: Tensor, { connection, norm, apply }: Sublayer): Tensor {
  if (connection) return connection.around(state, apply, norm);
  return add(state, apply(normed(state, norm)));
}

function normed(state: Tensor, norm: SublayerNorm | undefined): Tensor {
  return norm ? rmsNorm(state, norm.weight, norm.eps) : state;
}

function runPlain(h: Tensor, sublayers: readonly Sublayer[]): Tensor {
  let state = h;
  let x = normed(state, sublayers[0]?.norm);
  sublayers.forEach(({ apply }, l) => {
    const out = apply(x);
    const norm = sublayers[l + 1]?.norm;
    if (norm) ({ h: state, x } = residualStep(state, out, norm));
    else state = x = add(state, out);
  });
  return state;
}

function runFused(h: Tensor, sublayers: readonly Sublayer[], connections: readonly Connection[]): Tensor {
  const last = sublayers.length - 1;
  const sizesOf = (l: number) => (connections[l] as Connection).sizes;
  const [reading, writing] = bothUses(connections);
  let { h: state, x } = connectionEntry(h, reading[0] as ConnectionParameters, sizesOf(0), sublayers[0]?.norm);
  for (let l = 0; l < last; l++) {
    const [previous, next] = [writing[l] as ConnectionParameters, reading[l + 1] as ConnectionParameters];
    const out = (sublayers[l] as Sublayer).apply(x);
    ({ h: state, x } = connectionStep(state, out, previous, next, sizesOf(l), sublayers[l + 1]?.norm));
  }
  const out = (sublayers[last] as Sublayer).apply(x);
  return connectionWrite(state, out, writing[last] as ConnectionParameters, sizesOf(last));
}

/** Parameters of all connections, as the read takes them, and as the write does: most are of both. */
function bothUses(connections: readonly Connection[]): [ConnectionParameters[], ConnectionParameters[]] {
  const all = connections.map(({ parameters }) => parameters);
  const ofBoth = all.map(({ staticAlpha, dynamic }) =>
    dynamic ? [staticAlpha, dynamic.normWeight, dynamic.alphaFn, dynamic.alphaScale] : [staticAlpha],
  );
  const perConnection = ofBoth[0]?.length ?? 0;
  return usedTwice(ofBoth.flat()).map((tensors) =>
    all.map((parameters, l) => withShared(parameters, tensors.slice(l * perConnection, (l + 1) * perConnection))),
  ) as [ConnectionParameters[], ConnectionParameters[]];
}

function withShared(parameters: ConnectionParameters, shared: readonly Tensor[]): ConnectionParameters {
  const [staticAlpha, normWeight, alphaFn, alphaScale] = shared as [Tensor, Tensor, Tensor, Tensor];
  const { dynamic } = parameters;
  return { ...parameters, staticAlpha, ...(dynamic && { dynamic: { ...dynamic, normWeight, alphaFn, alphaScale } }) };
}
