// On a machine without a GPU: importing the package is harmless, and asking for its library says what is missing.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import assert from 'node:assert/strict';
import { backendReport, selectBackend } from '@vwn/core';
import { loadLibrary } from '@vwn/kernels-cuda';

assert.equal(typeof loadLibrary, 'function');
assert.equal((await selectBackend()).name, 'cpu');
assert.equal(tf.add(1, 2).dataSync()[0], 3);
assert.throws(() => loadLibrary(), /native library of vwn-cuda cannot be loaded.*NVIDIA GPU/s);
const { available, reason } = (await backendReport()).find(({ name }) => name === 'vwn-cuda');
assert.ok(!available && reason.length > 0);
