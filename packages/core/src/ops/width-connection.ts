import { add, concat, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel, type TensorsOf } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireConnectionParameters, type ConnectionParameters, type ConnectionSizes } from './connection-parameters';
import {
  alphaColumns,
  coefficientGradients,
  coefficients,
  columns,
  mixSlots,
  mixSlotsGradients,
  normalizeSlots,
  segmentsOf,
  type NormalizedSlots,
} from './internal/connection-math';
import { segmentWidth } from './internal/connection-shapes';
import { lastOf } from './internal/shapes';

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

/** The three kinds of coefficients of the state's slots: read A° and carry Â (alpha's columns), and write Bᵀ. */
function allCoefficients(slots: NormalizedSlots, p: TensorsOf<DynamicInputs>, { m, n }: ConnectionSizes) {
  const write = { offset: p.staticBeta, scale: p.betaScale, fn: p.betaFn };
  return {
    read: coefficients(slots, p.normWeight, alphaColumns(p, 0, m)),
    carry: coefficients(slots, p.normWeight, alphaColumns(p, m, n)),
    write: coefficients(slots, p.normWeight, write),
  };
}

const dynamicGradKernel = defineKernel<DynamicInputs | 'dx' | 'dCarry' | 'dBeta', ConnectionSizes>({
  name: KernelName.WidthConnectionGrad,
  inputs: [...dynamicInputs, 'dx', 'dCarry', 'dBeta'],
  composed: (inputs, sizes) => {
    const { h, normWeight, dx, dCarry, dBeta } = inputs;
    const { m, n, eps } = sizes;
    const s = segmentsOf(h, n);
    const slots = normalizeSlots(s, eps);
    const { read, carry, write } = allCoefficients(slots, inputs, sizes);
    const reading = mixSlotsGradients(read.value, s, segmentsOf(dx, m));
    const carrying = mixSlotsGradients(carry.value, s, segmentsOf(dCarry, n));
    const grads = coefficientGradients(slots, normWeight, {
      read: { ...read, upstream: reading.alpha },
      carry: { ...carry, upstream: carrying.alpha },
      write: { ...write, upstream: dBeta },
    });
    const { read: dRead, carry: dCarried, write: dWrite } = grads.parameters;
    return [
      reshape(add(add(reading.s, carrying.s), grads.s), h.shape),
      concat([dRead.offset, dCarried.offset], 1),
      dWrite.offset,
      grads.normWeight,
      concat([dRead.fn, dCarried.fn], 1),
      dWrite.fn,
      concat([dRead.scale, dCarried.scale], 1),
      dWrite.scale,
    ];
  },
});

const dynamicKernel = defineKernel<DynamicInputs, ConnectionSizes>({
  name: KernelName.WidthConnection,
  inputs: dynamicInputs,
  composed: (inputs, sizes) => {
    const { h } = inputs;
    const { m, n, eps } = sizes;
    const lead = h.shape.slice(0, -1);
    const s = segmentsOf(h, n);
    const { read, carry, write } = allCoefficients(normalizeSlots(s, eps), inputs, sizes);
    return [
      reshape(mixSlots(read.value, s), [...lead, (m * lastOf(h)) / n]),
      reshape(mixSlots(carry.value, s), h.shape),
      reshape(write.value, [...lead, n, m]),
    ];
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
  composed: ({ h, staticAlpha, dx, dCarry }, { m, n }) => {
    const s = segmentsOf(h, n);
    const reading = mixSlotsGradients(columns(staticAlpha, 0, m), s, segmentsOf(dx, m));
    const carrying = mixSlotsGradients(columns(staticAlpha, m, n), s, segmentsOf(dCarry, n));
    return [reshape(add(reading.s, carrying.s), h.shape), concat([reading.alpha, carrying.alpha], 1)];
  },
});

const staticKernel = defineKernel<'h' | 'staticAlpha', ConnectionSizes>({
  name: KernelName.StaticWidthConnection,
  inputs: ['h', 'staticAlpha'],
  composed: ({ h, staticAlpha }, { m, n }) => {
    const s = segmentsOf(h, n);
    return [
      reshape(mixSlots(columns(staticAlpha, 0, m), s), [...h.shape.slice(0, -1), (m * lastOf(h)) / n]),
      reshape(mixSlots(columns(staticAlpha, m, n), s), h.shape),
    ];
  },
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
 * @throws ShapeError; ConfigError when m, n or eps cannot be one
 */
export function widthConnection(
  h: Tensor,
  parameters: ConnectionParameters,
  { m, n, eps }: ConnectionSizes,
): WidthConnectionResult {
  const db = segmentWidth('widthConnection', 'h', h, n);
  requireConnectionParameters('widthConnection', parameters, { m, n, eps, db });
  const { staticAlpha, staticBeta, dynamic } = parameters;
  const sizes = { m, n, eps };
  const outputs = dynamic
    ? dynamicKernel({ h, staticAlpha, staticBeta, ...dynamic }, sizes)
    : [...staticKernel({ h, staticAlpha }, sizes), staticBeta];
  const [x, carry, beta] = outputs as [Tensor, Tensor, Tensor];
  return { x, carry, beta };
}
