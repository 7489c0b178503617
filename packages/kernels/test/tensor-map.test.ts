import type { KernelBackend } from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryPool } from '../src/index';
import { TensorData } from '../src/tensor-data';
import { OwnDataId, TensorMap } from '../src/tensor-map';
import { FakeSystem } from './support/fake-library';

const [here, elsewhere] = [{}, {}] as KernelBackend[] as [KernelBackend, KernelBackend];
const pool = new MemoryPool(new FakeSystem());
const someData = () => new TensorData('float32', pool, new Float32Array(1));

let map: TensorMap;
beforeEach(() => {
  map = new TensorMap(here);
});

describe.each([
  ['of its own making', () => new OwnDataId(here)],
  ['of another of our backends', () => new OwnDataId(elsewhere)],
  ['of a stock backend', () => ({ id: 0 })],
])('a dataId %s', (_, make: () => object) => {
  it('gives what was last set, and counts once', () => {
    const [dataId, data] = [make(), someData()];
    map.set(dataId, someData());
    map.set(dataId, data);
    expect(map.get(dataId)).toBe(data);
    expect(map.has(dataId)).toBe(true);
    expect(map.numDataIds()).toBe(1);
  });

  it('is gone once deleted, and says whether it was there', () => {
    const dataId = make();
    map.set(dataId, someData());
    expect(map.delete(dataId)).toBe(true);
    expect(map.has(dataId)).toBe(false);
    expect(map.delete(dataId)).toBe(false);
    expect(map.numDataIds()).toBe(0);
  });

  it('has data of its own on each of two backends', () => {
    const [dataId, other, data] = [make(), new TensorMap(elsewhere), someData()];
    map.set(dataId, data);
    expect(other.has(dataId)).toBe(false);
    other.set(dataId, someData());
    other.delete(dataId);
    expect(map.get(dataId)).toBe(data);
  });
});
