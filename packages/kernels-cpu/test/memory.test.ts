import * as tf from '@tensorflow/tfjs-core';
import {
  causalAttention,
  connectionRead,
  connectionStep,
  connectionWrite,
  embeddingLookup,
  linear,
  linearCrossEntropy,
  Rng,
  rmsNorm,
  swiGlu,
} from '@vwn/core';
import { constants } from 'node:buffer';
import { normalInput } from '@vwn/core/testing';
import { expect, it } from 'vitest';
import { runChild } from './support/child';
import { describeNative, nativeBackend } from './support/native';
import { SmallModel } from './support/small-model';

const used = () => ({ numTensors: tf.memory().numTensors, ...nativeBackend().memory() });

const { m, n, db, eps } = { m: 2, n: 3, db: 2, eps: 1e-5 };
const connection = (rng: Rng) => ({
  staticAlpha: normalInput(rng.fork('alpha'), [n, m + n]),
  staticBeta: normalInput(rng.fork('beta'), [n, m]),
});

/** Small functions of h [2, n·db], which is also [2, 3, 1, 2], that use every kind of native kernel between them. */
function functionsOf(rng: Rng): ((h: tf.Tensor) => tf.Tensor)[] {
  const [weight, ones] = [normalInput(rng.fork('weight'), [n * db, n * db]), tf.ones([n * db])];
  const [first, second] = [connection(rng.fork('first')), connection(rng.fork('second'))];
  const norm = { weight: tf.ones([m * db]), eps };
  const targets = tf.tensor1d([4, 1], 'int32');
  return [
    (h) => connectionStep(h, connectionRead(h, first, { m, n, eps }), first, second, { m, n, eps }).x,
    (h) => connectionStep(h, tf.slice(h, [0, 1], [2, m * db]), first, second, { m, n, eps }, norm).x,
    (h) => connectionWrite(h, tf.slice(h, [0, 1], [2, m * db]), second, { m, n, eps }),
    (h) =>
      tf.tanh(
        causalAttention(...([h, h, h].map((x) => tf.reshape(x, [2, 3, 1, 2])) as [tf.Tensor, tf.Tensor, tf.Tensor])),
      ),
    (h) => linearCrossEntropy(rmsNorm(h, ones, eps), weight, targets),
    (h) => swiGlu(linear(h, weight), tf.relu(h)),
    (h) => tf.softmax(tf.matMul(tf.concat([h, tf.square(h)], 0), weight)),
  ];
}

describeNative('steps', () => {
  it('give back all memory, and once they have run ask the system for none: 10,000 of them', () => {
    const rng = Rng.fromSeed('memory');
    const h = normalInput(rng, [2, n * db]);
    const gradients = functionsOf(rng).map((f) => tf.grad((x: tf.Tensor) => tf.sum(f(x))));
    const step = (i: number) => tf.tidy(() => gradients[i % gradients.length]?.(h).dataSync());
    for (let i = 0; i < 2 * gradients.length; i++) step(i);
    const before = used();
    for (let i = 0; i < 10_000; i++) step(i);
    expect(used()).toEqual(before);
  });

  it('of a whole model with its optimizer do so too, while its loss falls', () => {
    const model = new SmallModel({ batch: 1, tokens: 2, vocabulary: 5, heads: 1, m, n, db }, 1);
    const [first] = [model.step(), model.step(), model.step()];
    const before = used();
    for (let i = 0; i < 500; i++) model.step();
    expect(used()).toEqual(before);
    expect(model.step()).toBeLessThan(first / 2);
  });
});

describeNative('a step with the norm of its sublayer', () => {
  it('keeps for the backward pass no input of the norm, which a norm of its own keeps', () => {
    const rng = Rng.fromSeed('normed');
    const [first, second] = [connection(rng.fork('first')), connection(rng.fork('second'))];
    const norm = { weight: tf.ones([m * db]), eps };
    const tokens = 1000;
    const held = (step: (h: tf.Tensor, out: tf.Tensor) => tf.Tensor) => {
      let bytes = 0;
      const before = nativeBackend().memory().numBytesInDevice;
      const loss = (h: tf.Tensor, out: tf.Tensor) => {
        const x = step(h, out);
        bytes = nativeBackend().memory().numBytesInDevice - before;
        return tf.sum(x);
      };
      tf.dispose(tf.grads(loss)([normalInput(rng, [tokens, n * db]), normalInput(rng, [tokens, m * db])]));
      return bytes;
    };
    const fused = (h: tf.Tensor, out: tf.Tensor) => connectionStep(h, out, first, second, { m, n, eps }, norm).x;
    const apart = (h: tf.Tensor, out: tf.Tensor) =>
      rmsNorm(connectionStep(h, out, first, second, { m, n, eps }).x, norm.weight, norm.eps);
    held(fused); // brings the parameters into native memory
    expect(held(apart) - held(fused)).toBe(tokens * m * db * 4);
  });
});

describeNative('memory that nobody holds', () => {
  it.skipIf(process.platform !== 'linux').each(['tensor', 'scratch'])(
    'is there for a %s of another size when the system has no more',
    async (what) => {
      expect(await runChild('room.ts', { args: [what] })).toMatchObject({ status: 0, stdout: 'done' });
    },
  );
});

describeNative('a tensor that is larger than a buffer may be', () => {
  it('is an error that says how large one may be, and the process goes on', () => {
    const make = () => tf.add(tf.zeros([33000, 1]), tf.zeros([1, 33000]));
    if (constants.MAX_LENGTH > 4 * 33000 * 33000) return;
    expect(() => tf.tidy(make)).toThrow(`expected at most ${constants.MAX_LENGTH} bytes`);
    expect(tf.tidy(() => tf.add(1, 1).dataSync()[0])).toBe(2);
  });
});

describeNative('values that were read', () => {
  const fills = [
    ['float32', () => tf.add(tf.ones([999]), 1), 2],
    ['int32', () => tf.slice(tf.fill([1001], 5, 'int32'), [2], [999]), 5],
    ['bool', () => tf.slice(tf.fill([1001], 1, 'bool'), [2], [999]), 1],
  ] as const;

  it.each(fills)(
    'of %s stay as they were when the tensor is gone and its block is written again',
    async (_, make, value) => {
      const tensors = [tf.tidy(make), tf.tidy(make)] as const;
      const reads = [tensors[0].dataSync(), await tensors[1].data()];
      tf.dispose([...tensors]);
      // As many of the same size as there are free blocks, and more.
      const later = Array.from({ length: 8 }, () => tf.mul(tf.ones([999]), 7));
      for (const read of reads) expect(new Set(read)).toEqual(new Set([value]));
      tf.dispose(later);
    },
  );

  it('stay as they were when the optimizer updates the weight in place', () => {
    const model = new SmallModel({ batch: 1, tokens: 2, vocabulary: 5, heads: 1, m: 1, n: 1, db: 2 }, 2);
    model.step();
    const read = model.read();
    const copies = read.map((each) => [...each]);
    model.step();
    expect(read.map((each) => [...each])).toEqual(copies);
    expect(model.read().map((each) => [...each])).not.toEqual(copies);
  });

  it('do not change with the array that a tensor was made from, once a kernel has used it', () => {
    const given = new Float32Array([1, 2, 3]);
    const x = tf.tensor1d(given);
    tf.add(x, 1).dispose();
    given[0] = 9;
    expect([...x.dataSync()]).toEqual([1, 2, 3]);
  });

  it('of a stock kernel do not change when the tensor that it looked at is gone', () => {
    const x = tf.add(tf.ones([4, 999]), 1);
    const rows = tf.unstack(x) as tf.Tensor[];
    const reversed = tf.reverse(x, 0);
    const reshaped = tf.reshape(x, [999, 4]);
    x.dispose();
    const later = Array.from({ length: 8 }, () => tf.mul(tf.ones([4, 999]), 7));
    for (const each of [...rows, reversed, reshaped]) expect(new Set(each.dataSync())).toEqual(new Set([2]));
    tf.dispose([...rows, reversed, reshaped, ...later]);
  });
});

describeNative('a kernel that throws', () => {
  const ids = (...values: number[]) => tf.tensor1d(values, 'int32');
  const wrong = [
    ['ids outside the table', () => embeddingLookup(tf.ones([3, 50]), ids(0, 3)), 'token id 3 is outside'],
    [
      'targets outside the vocabulary',
      () => linearCrossEntropy(tf.ones([2, 5]), tf.ones([3, 5]), ids(1, -7)),
      'target -7 is outside',
    ],
  ] as const;

  it.each(wrong)('gives back the memory of its results: %s', (_, run, text) => {
    const call = () => expect(() => tf.tidy(run)).toThrow(text);
    call();
    const before = used();
    for (let i = 0; i < 5; i++) call();
    expect(used()).toEqual(before);
  });

  it('gives back the copies that it made of its operands', () => {
    const whole = tf.cast(tf.fill([64], 3, 'int32'), 'float32');
    const text = tf.tensor(['a', 'b']);
    const call = () => expect(() => nativeBackend().call('convert', [whole, text], [64])).toThrow('a tensor of string');
    call();
    const before = used();
    call();
    expect(used().numBytesInDevice).toBe(before.numBytesInDevice);
  });

  it('leaves the backend usable', () => {
    expect(() => embeddingLookup(tf.ones([3, 5]), ids(9))).toThrow();
    expect([...linear(tf.ones([1, 2]), tf.ones([1, 2])).dataSync()]).toEqual([2]);
  });
});
