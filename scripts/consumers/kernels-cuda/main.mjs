// Without a driver, whatever this machine has: importing the package is harmless, and its library, which can only come
// from the platform package, loads and says what is missing.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import assert from 'node:assert/strict';
import { backendReport, selectBackend } from '@vwn/core';
import { loadLibrary, platformPackage } from '@vwn/kernels-cuda';

process.env.VWN_CUDA_DRIVER = '/nowhere/libcuda.so';
assert.equal((await selectBackend()).name, 'cpu');
assert.equal(tf.add(1, 2).dataSync()[0], 3);
assert.throws(
  () => loadLibrary(),
  new RegExp(`native library of vwn-cuda cannot be loaded.*${platformPackage}: there is no NVIDIA driver here`, 's'),
);
const { available, reason } = (await backendReport()).find(({ name }) => name === 'vwn-cuda');
assert.ok(!available && reason.includes('there is no NVIDIA driver here'));
