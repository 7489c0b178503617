import { add, concat, mul, neg, slice, tensor, type Tensor } from '@tensorflow/tfjs-core';
import { ConfigError, ShapeError } from '../errors';
import { defineKernel, type KernelCall } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireFloats } from './internal/shapes';

export interface RotaryOptions {
  /** Base of the geometric series of wavelengths (`rope_theta`). */
  readonly theta: number;
  /** Position of the first token: what a KV cache already holds. */
  readonly offset?: number;
}

interface Attrs {
  readonly theta: number;
  readonly offset: number;
  /** Rotates by the negative angle: the gradient. */
  readonly inverse: boolean;
}

const kernel: KernelCall<'x', Attrs> = defineKernel<'x', Attrs>({
  name: KernelName.RotaryEmbedding,
  inputs: ['x'],
  composed: ({ x }, { theta, offset, inverse }) => {
    const [batch = 0, length = 0, heads = 0, width = 0] = x.shape;
    const half = width / 2;
    const [cos, sin] = rotation(length, width, theta, offset);
    const x1 = slice(x, [0, 0, 0, 0], [batch, length, heads, half]);
    const x2 = slice(x, [0, 0, 0, half], [batch, length, heads, half]);
    const turned = inverse ? concat([x2, neg(x1)], 3) : concat([neg(x2), x1], 3);
    return add(mul(x, tensor(cos, [1, length, 1, width])), mul(turned, tensor(sin, [1, length, 1, width])));
  },
  gradient: {
    backward: ([dy], _inputs, _outputs, attrs) => ({
      x: kernel({ x: dy as Tensor }, { ...attrs, inverse: !attrs.inverse })[0] as Tensor,
    }),
  },
});

/**
 * Rotary position embedding in the rotate-half convention of Llama, x [B, T, H, d], d even: dimensions i and i + d/2
 * turn together by the angle `(offset + t)·theta^(−2i/d)`.
 * @throws ShapeError; ConfigError for another theta or offset than such angles have
 */
export function rotaryEmbedding(x: Tensor, { theta, offset = 0 }: RotaryOptions): Tensor {
  requireFloats('rotaryEmbedding', 'x', x, [null, null, null, null], 'x is [B, T, H, d]');
  const width = x.shape[3] as number;
  if (width % 2 !== 0)
    throw new ShapeError('rotaryEmbedding: the head width must be even', { expected: 'an even d', got: String(width) });
  requireAngles(theta, offset);
  return kernel({ x }, { theta, offset, inverse: false })[0] as Tensor;
}

function requireAngles(theta: number, offset: number): void {
  if (!(Number.isFinite(theta) && theta > 0))
    throw new ConfigError('rotaryEmbedding: theta is not the base of a geometric series', {
      expected: 'a number above 0, such as 10000',
      got: String(theta),
    });
  if (!Number.isInteger(offset) || offset < 0)
    throw new ConfigError('rotaryEmbedding: offset is not the position of a token', {
      expected: 'a whole number of at least 0',
      got: String(offset),
    });
}

const cache = new Map<string, readonly [Float32Array, Float32Array]>();
const cacheSize = 16;

/** cos and sin, each [T, d] with both halves filled; computed in float64 as the angles grow large. */
function rotation(length: number, width: number, theta: number, offset: number): readonly [Float32Array, Float32Array] {
  const key = `${length},${width},${theta},${offset}`;
  const known = cache.get(key);
  if (known) return known;
  const cos = new Float32Array(length * width);
  const sin = new Float32Array(length * width);
  for (let t = 0; t < length; t++)
    for (let i = 0; i < width; i++) {
      const angle = (offset + t) * theta ** (-(2 * (i % (width / 2))) / width);
      cos[t * width + i] = Math.cos(angle);
      sin[t * width + i] = Math.sin(angle);
    }
  if (cache.size >= cacheSize) cache.delete(cache.keys().next().value as string);
  cache.set(key, [cos, sin]);
  return [cos, sin];
}
