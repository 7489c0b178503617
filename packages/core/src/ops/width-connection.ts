import { add, concat, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel, type TensorsOf } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireConnectionParameters, type ConnectionParameters, type ConnectionSizes } from './connection-parameters';
import {
  coefficientGradients,
  coefficients,
  columns,
  mixSlots,
  mixSlotsGradients,
  segmentsOf,
  type CoefficientParameters,
} from './internal/connection-math';
import { segmentWidth } from './internal/connection-shapes';

type DynamicInputs =
  'h' | 'staticAlpha' | 'staticBeta' | 'normWeight' | 'alphaFn' | 'betaFn' | 'alphaScale' | 'betaScale';

const dynamicInputs = [
  'h',
  'staticAlpha',
  'staticBeta',
  'normWeight',
  'alphaFn',
  'betaFn',
  'alphaScale',
  'betaScale',
] as const;

/** Alpha's m+n and beta's m columns side by side, so that both are one product and one tanh. */
function joined({
  staticAlpha,
  staticBeta,
  normWeight,
  alphaFn,
  betaFn,
  alphaScale,
  betaScale,
}: TensorsOf<Exclude<DynamicInputs, 'h'>>): CoefficientParameters {
  return {
    offset: concat([staticAlpha, staticBeta], 1),
    scale: concat([alphaScale, betaScale], 1),
    fn: concat([alphaFn, betaFn], 1),
    normWeight,
  };
}

/** mix [P, m+n, db] → x [..., D] and carry [..., n·db]. */
function splitMix(mix: Tensor, lead: number[], { m, n }: ConnectionSizes): [Tensor, Tensor] {
  const [P = 0, , db = 0] = mix.shape;
  const flat = reshape(mix, [P, (m + n) * db]);
  return [
    reshape(slice(flat, [0, 0], [P, m * db]), [...lead, m * db]),
    reshape(slice(flat, [0, m * db], [P, n * db]), [...lead, n * db]),
  ];
}

function joinMix(dx: Tensor, dCarry: Tensor, P: number, { m, n }: ConnectionSizes): Tensor {
  const both = concat(
    [reshape(dx, [P, dx.size / Math.max(1, P)]), reshape(dCarry, [P, dCarry.size / Math.max(1, P)])],
    1,
  );
  return reshape(both, [P, m + n, (both.shape[1] as number) / (m + n)]);
}

const dynamicGradKernel = defineKernel<DynamicInputs | 'dx' | 'dCarry' | 'dBeta', ConnectionSizes>({
  name: KernelName.WidthConnectionGrad,
  inputs: [...dynamicInputs, 'dx', 'dCarry', 'dBeta'],
  composed: ({ h, dx, dCarry, dBeta, ...parameters }, sizes) => {
    const { m, n } = sizes;
    const s = segmentsOf(h, sizes.n);
    const P = s.shape[0] as number;
    const both = joined(parameters);
    const coefs = coefficients(s, both, sizes.eps);
    const mixed = mixSlotsGradients(columns(coefs.value, 0, m + n), s, joinMix(dx, dCarry, P, sizes));
    const grads = coefficientGradients(concat([mixed.alpha, reshape(dBeta, [P, n, m])], 2), coefs, both);
    return [
      reshape(add(mixed.s, grads.s), h.shape),
      columns(grads.offset, 0, m + n),
      columns(grads.offset, m + n, m),
      grads.normWeight,
      columns(grads.fn, 0, m + n),
      columns(grads.fn, m + n, m),
      columns(grads.scale, 0, m + n),
      columns(grads.scale, m + n, m),
    ];
  },
});

const dynamicKernel = defineKernel<DynamicInputs, ConnectionSizes>({
  name: KernelName.WidthConnection,
  inputs: dynamicInputs,
  composed: ({ h, ...parameters }, sizes) => {
    const { m, n } = sizes;
    const lead = h.shape.slice(0, -1);
    const s = segmentsOf(h, sizes.n);
    const { value } = coefficients(s, joined(parameters), sizes.eps);
    const [x, carry] = splitMix(mixSlots(columns(value, 0, m + n), s), lead, sizes);
    return [x, carry, reshape(columns(value, m + n, m), [...lead, n, m])];
  },
  gradient: {
    backward: ([dx, dCarry, dBeta], inputs, _outputs, sizes) => {
      const upstream = { dx: dx as Tensor, dCarry: dCarry as Tensor, dBeta: dBeta as Tensor };
      const grads = dynamicGradKernel({ ...inputs, ...upstream }, sizes);
      return Object.fromEntries(dynamicInputs.map((name, i) => [name, grads[i] as Tensor]));
    },
  },
});

const staticGradKernel = defineKernel<'h' | 'staticAlpha' | 'dx' | 'dCarry', ConnectionSizes>({
  name: KernelName.StaticWidthConnectionGrad,
  inputs: ['h', 'staticAlpha', 'dx', 'dCarry'],
  composed: ({ h, staticAlpha, dx, dCarry }, sizes) => {
    const s = segmentsOf(h, sizes.n);
    const grads = mixSlotsGradients(staticAlpha, s, joinMix(dx, dCarry, s.shape[0] as number, sizes));
    return [reshape(grads.s, h.shape), grads.alpha];
  },
});

const staticKernel = defineKernel<'h' | 'staticAlpha', ConnectionSizes>({
  name: KernelName.StaticWidthConnection,
  inputs: ['h', 'staticAlpha'],
  composed: ({ h, staticAlpha }, sizes) =>
    splitMix(mixSlots(staticAlpha, segmentsOf(h, sizes.n)), h.shape.slice(0, -1), sizes),
  gradient: {
    backward: ([dx, dCarry], { h, staticAlpha }, _outputs, sizes) => {
      const [dh, dAlpha] = staticGradKernel({ h, staticAlpha, dx: dx as Tensor, dCarry: dCarry as Tensor }, sizes);
      return { h: dh as Tensor, staticAlpha: dAlpha as Tensor };
    },
  },
});

export interface WidthConnectionResult {
  /** The sublayer's input, [..., D]. */
  readonly x: Tensor;
  /** What stays in the slots, Âᵀ H', [..., n·db]. */
  readonly carry: Tensor;
  /** Coefficients of the write, [..., n, m]; the static parameter itself, [n, m], when not dynamic. */
  readonly beta: Tensor;
}

/**
 * Width connection (eq. 10, Algorithm 2): `mix = alphaᵀ H'`; its first m rows are the sublayer's input, the last n the
 * carry. h is the over-width state [..., n·db], slot after slot. A dynamic connection also computes beta from h.
 * @throws ShapeError
 */
export function widthConnection(
  h: Tensor,
  parameters: ConnectionParameters,
  { m, n, eps }: ConnectionSizes,
): WidthConnectionResult {
  const db = segmentWidth('widthConnection', h, n);
  requireConnectionParameters('widthConnection', parameters, { m, n, db });
  const { staticAlpha, staticBeta, dynamic } = parameters;
  const sizes = { m, n, eps };
  const outputs = dynamic
    ? dynamicKernel({ h, staticAlpha, staticBeta, ...dynamicTensors(dynamic) }, sizes)
    : [...staticKernel({ h, staticAlpha }, sizes), staticBeta];
  const [x, carry, beta] = outputs as [Tensor, Tensor, Tensor];
  return { x, carry, beta };
}

function dynamicTensors({
  normWeight,
  alphaFn,
  betaFn,
  alphaScale,
  betaScale,
}: Required<ConnectionParameters>['dynamic']) {
  return { normWeight, alphaFn, betaFn, alphaScale, betaScale };
}
