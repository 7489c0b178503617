import * as tf from '@tensorflow/tfjs-core';
import { afterEach, expect, it } from 'vitest';
import { captureKernels, rmsNorm, setPrecision, ShapeError, type Captured } from '../src/index';
import { describeOnBackends } from './support/backends';

const kept = <T extends tf.Tensor>(f: () => T): T => tf.tidy(() => tf.keep(f()));

/** y = (x·factor + 1)² summed by row, as a capture over x [2, 3] and the variable factor [3]. */
function captureExample() {
  const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
  const factor = tf.variable(tf.tensor1d([1, 2, 3]));
  const captured = captureKernels({ feeds: [x], state: [factor] }, () =>
    kept(() => tf.sum(tf.square(tf.add(tf.mul(x, factor), tf.ones([3]))), 1)),
  );
  const dispose = () => (captured.capture?.dispose(), tf.dispose([x, factor, captured.result]));
  return { x, factor, ...captured, dispose };
}

afterEach(() => setPrecision('fp32'));

describeOnBackends('captureKernels', (backend) => {
  const canCapture = backend.startsWith('vwn');

  it('runs its body once and returns what that returns, whether the backend can capture or not', () => {
    const { result, reason, dispose } = captureExample();
    expect([...result.dataSync()]).toEqual([4 + 25 + 100, 25 + 121 + 361]);
    expect(reason).toBe(canCapture ? undefined : `backend ${backend} cannot capture kernels`);
    dispose();
  });

  it('says that there is no capture where the body looks at values', () => {
    const x = tf.tensor1d([1, 2]);
    const { result, capture, reason } = captureKernels({ feeds: [x], state: [] }, () =>
      kept(() => tf.mul(x, Math.max(...tf.square(x).dataSync()))),
    );
    expect([...result.dataSync()]).toEqual([4, 8]);
    expect(capture).toBeUndefined();
    if (canCapture) expect(reason).toBe('JavaScript read or replaced values of a tensor');
    tf.dispose([x, result]);
  });

  it('says that there is no capture where the body assigns state', () => {
    const factor = tf.variable(tf.tensor1d([1, 2]));
    const { capture, reason } = captureKernels({ feeds: [], state: [factor] }, () =>
      tf.tidy(() => factor.assign(tf.mul(factor, 2))),
    );
    expect([...factor.dataSync()]).toEqual([2, 4]);
    expect(capture).toBeUndefined();
    if (canCapture) expect(reason).toBe('a state tensor was assigned meanwhile');
    factor.dispose();
  });

  it('passes an error of the body on, and can capture afterwards', () => {
    const x = tf.tensor1d([1, 2]);
    const failing = () => captureKernels({ feeds: [x], state: [] }, () => rmsNorm(x, tf.ones([3]), 1e-5));
    const tensors = tf.memory().numTensors;
    expect(() => tf.tidy(() => failing().result)).toThrow(ShapeError);
    expect(tf.memory().numTensors).toBe(tensors);
    const { reason, dispose } = captureExample();
    if (canCapture) expect(reason).toBeUndefined();
    dispose();
    x.dispose();
  });

  it('does not capture while tf.profile watches', async () => {
    let captured: Captured<tf.Tensor> | undefined;
    const { kernelNames } = await tf.profile(() => {
      const { dispose, ...rest } = captureExample();
      captured = rest;
      dispose();
    });
    expect(kernelNames).toContain('Square');
    if (canCapture) expect(captured?.reason).toBe('tf.profile or debug mode is on');
  });

  if (!canCapture) return;

  it('replays on new values of its feeds, and on the state as it is by then', () => {
    const { capture, factor, result, dispose } = captureExample();
    expect(capture?.replay([[0, 0, 0, 1, 1, 1]])).toBe(true);
    expect([...result.dataSync()]).toEqual([3, 4 + 9 + 16]);
    const values = tf.backend().readSync(factor.dataId) as Float32Array;
    expect([...values]).toEqual([1, 2, 3]);
    expect(capture?.replay([Float32Array.of(1, 1, 1, 2, 2, 2)])).toBe(true);
    expect([...result.dataSync()]).toEqual([4 + 9 + 16, 9 + 25 + 49]);
    dispose();
  });

  it('keeps constants, and memory that others hold, as they are however often it is replayed', () => {
    const { capture, result, dispose } = captureExample();
    const others = Array.from({ length: 30 }, (_, i) => kept(() => tf.add(tf.fill([1 + (i % 6)], i), 0)));
    for (let i = 0; i < 5; i++) {
      capture?.replay([[0, 0, 0, 1, 1, 1]]);
      expect([...result.dataSync()]).toEqual([3, 29]);
      others.forEach((other, j) => expect(new Set(other.dataSync())).toEqual(new Set([j])));
    }
    tf.dispose(others);
    dispose();
  });

  it('refuses a replay where a state tensor was assigned or disposed of, or the precision is another', async () => {
    const values = [[1, 2, 3, 4, 5, 6]];
    const assigned = captureExample();
    tf.tidy(() => assigned.factor.assign(tf.mul(assigned.factor, 2)));
    expect(assigned.capture?.replay(values)).toBe(false);
    assigned.dispose();
    const other = captureExample();
    setPrecision('bf16');
    expect(other.capture?.replay(values)).toBe(false);
    setPrecision('fp32');
    expect(other.capture?.replay(values)).toBe(true);
    await tf.profile(() => void expect(other.capture?.replay(values)).toBe(false));
    other.x.dispose();
    expect(other.capture?.replay(values)).toBe(false);
    other.dispose();
    expect(other.capture?.replay(values)).toBe(false);
  });

  it('refuses a replay where a tensor that its kernels write shares its memory with a clone', () => {
    const written = kept(() => tf.add(tf.tensor1d([1, 2]), 0));
    const { capture, result } = captureKernels({ feeds: [], state: [], written: [written] }, () =>
      kept(() => tf.mul(written, 2)),
    );
    expect(capture?.replay([])).toBe(true);
    const clone = tf.clone(written);
    expect(capture?.replay([])).toBe(false);
    clone.dispose();
    expect(capture?.replay([])).toBe(true);
    capture?.dispose();
    tf.dispose([written, result]);
  });

  it('names a feed of another size by its shape', () => {
    const { capture, dispose } = captureExample();
    expect(() => capture?.replay([[1, 2]])).toThrow(
      'a feed of a replay has the wrong number of values: expected 6 for [2, 3], got 2',
    );
    expect(() => capture?.replay([])).toThrow('got none');
    dispose();
  });

  it('is not nested: the outer capture holds the kernels of both', () => {
    const x = tf.tensor1d([1, 2]);
    let inner: Captured<tf.Tensor> | undefined;
    const outer = captureKernels({ feeds: [x], state: [] }, () => {
      inner = captureKernels({ feeds: [x], state: [] }, () => kept(() => tf.square(x)));
      return inner.result;
    });
    expect(inner?.reason).toBe('another capture is under way');
    expect(outer.capture?.replay([[3, 4]])).toBe(true);
    expect([...outer.result.dataSync()]).toEqual([9, 16]);
    outer.capture?.dispose();
    tf.dispose([x, outer.result]);
  });
});
