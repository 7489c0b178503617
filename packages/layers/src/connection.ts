import {
  connectionKernelNames,
  connectionRead,
  connectionWrite,
  depthConnection,
  hasNativeKernel,
  initializers,
  requireEpsilon,
  rmsNorm,
  segmentWidths,
  staticAlpha,
  staticBeta,
  widthConnection,
  type ConnectionParameters,
  type ConnectionSizes,
  type SublayerNorm,
  type WidthConnectionResult,
} from '@vwn/core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { Parameters, type ParameterScope } from './parameters';

export interface ConnectionOptions {
  /** Backbone width D: what the sublayer sees. */
  readonly hiddenSize: number;
  /** Fraction rate: segments of the backbone vector; m = 1 is Hyper-Connections. */
  readonly m: number;
  /** Slots of the over-width state; n = m is Frac-Connections. */
  readonly n: number;
  /** Coefficients that depend on the token (eqs. 11–14), beside the static ones. */
  readonly dynamic?: boolean;
  readonly eps?: number;
}

/**
 * Generalized Hyper-Connection (§3.3) around any sublayer `[..., D] → [..., D]`. A new one reads slots 0 … m−1, carries
 * every slot and writes cyclically (eqs. 15, 16); a dynamic one starts equal to the static one, since W = 0.
 */
export class Connection {
  readonly sizes: ConnectionSizes;
  /** The tensors, as the operations of @vwn/core take them. */
  readonly parameters: ConnectionParameters;

  /** @throws ConfigError */
  constructor(
    { hiddenSize, m, n, dynamic = true, eps = 1e-6 }: ConnectionOptions,
    scope: ParameterScope = new Parameters(),
  ) {
    const { db } = segmentWidths({ hiddenSize, m, n });
    requireEpsilon('Connection', 'eps', eps);
    const { ones, values, zeros } = initializers;
    this.sizes = { m, n, eps };
    this.parameters = {
      staticAlpha: scope.variable('static_alpha', [n, m + n], values(staticAlpha(m, n))),
      staticBeta: scope.variable('static_beta', [n, m], values(staticBeta(m, n))),
      ...(dynamic && {
        dynamic: {
          normWeight: scope.variable('norm.weight', [db], ones),
          alphaFn: scope.variable('dynamic_alpha_fn', [db, m + n], zeros),
          betaFn: scope.variable('dynamic_beta_fn', [db, m], zeros),
          alphaScale: scope.variable('dynamic_alpha_scale', [n, m + n], ones),
          betaScale: scope.variable('dynamic_beta_scale', [n, m], ones),
        },
      }),
    };
  }

  /** Width connection: h [..., D'] → the sublayer's input x [..., D], the carry, and the coefficients of the write. */
  width(h: Tensor): WidthConnectionResult {
    return widthConnection(h, this.parameters, this.sizes);
  }

  /** Depth connection: the sublayer's output [..., D] written into the carried slots → [..., D']. */
  depth(out: Tensor, carry: Tensor, beta: Tensor): Tensor {
    return depthConnection(out, carry, beta, this.sizes);
  }

  /**
   * h [..., D'] → [..., D'], with the sublayer in between. A pre-norm given as `norm` may be fused with the connection;
   * any other belongs to the sublayer.
   */
  around(h: Tensor, sublayer: (x: Tensor) => Tensor, norm?: SublayerNorm): Tensor {
    if (this.isNative(norm !== undefined)) {
      const out = sublayer(connectionRead(h, this.parameters, this.sizes, norm));
      return connectionWrite(h, out, this.parameters, this.sizes);
    }
    const { x, carry, beta } = this.width(h);
    return this.depth(sublayer(norm ? rmsNorm(x, norm.weight, norm.eps) : x), carry, beta);
  }

  /**
   * Whether the backend brings fused halves, which rebuild the carry, with the sublayer's norm if it is `normed`;
   * composed ones would compute the connection's norm twice.
   */
  isNative(normed = false): boolean {
    const kind = { write: true, read: true, dynamic: this.parameters.dynamic !== undefined, normed };
    return hasNativeKernel(connectionKernelNames(kind)[0]);
  }
}
