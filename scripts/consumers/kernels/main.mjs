import assert from 'node:assert/strict';
import { abiVersion, MemoryPool, registerNativeBackend } from '@vwn/kernels';

assert.equal(typeof abiVersion, 'number');
assert.equal(typeof registerNativeBackend, 'function');
const pool = new MemoryPool({ allocate: (bytes) => ({ buffer: new ArrayBuffer(bytes), address: 64 }) });
assert.equal(pool.allocate(100).bytes, 100);
