import fc from 'fast-check';
import { BackendError } from '@vwn/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryPool, StorageType } from '../src/index';
import { TensorData } from '../src/tensor-data';
import { FakeDevice, FakeSystem } from './support/fake-library';

let system: FakeSystem;
let pool: MemoryPool;

beforeEach(() => {
  system = new FakeSystem();
  pool = new MemoryPool(system);
});

const inUse = () => pool.statistics().bytesInUse;

describe('values that were made in JavaScript', () => {
  it('take no native memory until a kernel asks for their address, and then keep it', () => {
    const data = new TensorData('float32', pool, new Float32Array([1, 2, 3]));
    expect(data.values).toEqual(new Float32Array([1, 2, 3]));
    expect(inUse()).toBe(0);
    const address = data.address();
    expect(inUse()).toBe(12);
    expect(data.address()).toBe(address);
    expect(system.asked).toHaveLength(1);
  });

  it('are the same afterwards, in the block, and apart from the array that they came in', () => {
    const given = new Float32Array([1, 2, 3]);
    const data = new TensorData('float32', pool, given);
    data.address();
    given[0] = 9;
    expect(data.values).toEqual(new Float32Array([1, 2, 3]));
    expect(pool.owns((data.values as Float32Array).buffer)).toBe(true);
  });

  it.each([
    ['float32', [0.5, -2], StorageType.f32, 8, Float32Array],
    ['int32', [7, -2], StorageType.i32, 8, Int32Array],
    ['bool', [1, 0], StorageType.u8, 2, Uint8Array],
  ] as const)('move in as %s also from a plain array', (dtype, values, type, bytes, Kind) => {
    const data = new TensorData(dtype, pool, [...values] as never);
    data.address();
    expect(data.type).toBe(type);
    expect(inUse()).toBe(bytes);
    expect(data.values).toEqual(Kind.from(values));
  });

  it.each(['string', 'complex64'] as const)('of dtype %s have no address, and the text says so', (dtype) => {
    const data = new TensorData(dtype, pool, [] as never);
    expect(() => data.address()).toThrow(`a native kernel takes numbers: got a tensor of ${dtype}`);
    expect(inUse()).toBe(0);
  });
});

describe('values that a kernel wrote', () => {
  it.each([
    ['float32', StorageType.f32, 4],
    ['float32', StorageType.bf16, 2],
    ['int32', StorageType.i32, 4],
    ['bool', StorageType.u8, 1],
  ] as const)('of %s take memory at once: storage %i is %i bytes an element', (dtype, storage, bytes) => {
    const data = TensorData.uninitialized(dtype, pool, 10, storage);
    expect(inUse()).toBe(10 * bytes);
    expect(data.type).toBe(storage);
    expect(data.values).toHaveLength(10);
  });

  it('are seen where they lie, without the rest of a larger block', () => {
    const data = TensorData.uninitialized('float32', pool, 3, StorageType.f32);
    const values = data.values as Float32Array;
    values.set([4, 5, 6]);
    expect(data.values).toEqual(new Float32Array([4, 5, 6]));
    expect(values.buffer.byteLength).toBe(64);
  });

  it('in bf16 are widened to the float32 of the same upper bits, whatever the number', () =>
    fc.assert(
      fc.property(fc.array(fc.float(), { minLength: 1, maxLength: 40 }), (numbers) => {
        const bits = new Uint32Array(Float32Array.from(numbers).buffer).map((each) => each & 0xffff0000);
        const data = TensorData.uninitialized('float32', pool, numbers.length, StorageType.bf16);
        halvesOf(data, numbers.length).set(Uint16Array.from(bits, (each) => each >>> 16));
        expect(data.values).toEqual(new Float32Array(bits.buffer));
        data.release();
      }),
    ));

  it('in bf16 follow a kernel that writes them again', () => {
    const data = TensorData.uninitialized('float32', pool, 1, StorageType.bf16);
    halvesOf(data, 1)[0] = 0x3f80;
    expect([...(data.values as Float32Array)]).toEqual([1]);
    halvesOf(data, 1)[0] = 0xc000;
    expect([...(data.values as Float32Array)]).toEqual([-2]);
  });
});

describe('reading', () => {
  it('copies out of a block: what the block holds later does not show', () => {
    const data = TensorData.uninitialized('float32', pool, 2, StorageType.f32);
    (data.values as Float32Array).set([1, 2]);
    const read = data.read() as Float32Array;
    (data.values as Float32Array).set([8, 9]);
    expect([...read]).toEqual([1, 2]);
    expect(pool.owns(read.buffer)).toBe(false);
  });

  it('copies values that moved into a block too', () => {
    const data = new TensorData('int32', pool, new Int32Array([1, 2]));
    data.address();
    expect(pool.owns((data.read() as Int32Array).buffer)).toBe(false);
    expect(data.read()).toEqual(new Int32Array([1, 2]));
  });

  it('gives the values of JavaScript as they are, for no kernel writes there', () => {
    const values = new Float32Array([1]);
    expect(new TensorData('float32', pool, values).read()).toBe(values);
  });
});

describe('giving memory back', () => {
  it('happens on release, once', () => {
    const data = new TensorData('float32', pool, new Float32Array(8));
    data.address();
    data.release();
    data.release();
    expect(inUse()).toBe(0);
    const [a, b] = [pool.allocate(32), pool.allocate(32)];
    expect(a.address).not.toBe(b.address);
  });

  it('happens when new values take the place of the old, which then have the storage of their dtype', () => {
    const data = TensorData.uninitialized('float32', pool, 4, StorageType.bf16);
    data.values = new Float32Array([1, 2]);
    expect(inUse()).toBe(0);
    expect(data.type).toBe(StorageType.f32);
    expect(data.values).toEqual(new Float32Array([1, 2]));
    data.address();
    expect(inUse()).toBe(8);
  });
});

/** The 16-bit words of a bf16 tensor, as a native kernel sees them. */
function halvesOf(data: TensorData, elements: number): Uint16Array {
  return new Uint16Array(system.bufferAt(data.address()), 0, elements);
}

describe('values on a device', () => {
  let device: FakeDevice;
  let onDevice: MemoryPool;
  beforeEach(() => {
    device = new FakeDevice();
    onDevice = new MemoryPool(device);
  });

  it.each([
    ['float32', StorageType.f32, [0.5, -2], Float32Array],
    ['int32', StorageType.i32, [7, -2], Int32Array],
    ['bool', StorageType.u8, [1, 0], Uint8Array],
  ] as const)(
    'of %s are copied there when a kernel first asks, once, and back for reading',
    (dtype, _type, values, Kind) => {
      const data = new TensorData(dtype, onDevice, Kind.from(values) as never);
      const address = data.address();
      expect(data.address()).toBe(address);
      expect(device.copies).toEqual(['write']);
      expect(data.read()).toEqual(Kind.from(values));
      expect(device.copies).toEqual(['write', 'read']);
    },
  );

  it('are those that the last kernel wrote, however often they were read before', () => {
    const data = TensorData.uninitialized('float32', onDevice, 2, StorageType.f32);
    const memory = new Float32Array(device.bufferAt(data.address()), 0, 2);
    memory.set([1, 2]);
    expect(data.values).toEqual(new Float32Array([1, 2]));
    memory.set([3, 4]);
    expect(data.values).toEqual(new Float32Array([3, 4]));
    memory.set([5, 6]);
    expect(data.read()).toEqual(new Float32Array([5, 6]));
  });

  it('are not read where a kernel failed meanwhile: the error is typed and has the text of the device', () => {
    const data = TensorData.uninitialized('float32', onDevice, 2, StorageType.f32);
    device.read = () => {
      throw new Error('a token id is outside the table');
    };
    expect(() => data.read()).toThrow(BackendError);
    expect(() => data.read()).toThrow('a kernel failed before its results were read: got a token id is outside');
  });

  it('in bf16 are widened as they are read', () => {
    const data = TensorData.uninitialized('float32', onDevice, 2, StorageType.bf16);
    new Uint16Array(device.bufferAt(data.address()), 0, 2).set([0x3fc0, 0xc000]);
    expect(data.read()).toEqual(new Float32Array([1.5, -2]));
  });
});
