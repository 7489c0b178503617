// Runs where no compiler is on the PATH: the library can only come from the platform package.
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { linear, linearCrossEntropy, selectBackend, setPrecision } from '@vwn/core';
import { loadLibrary, platformPackage } from '@vwn/kernels-cpu';

assert.equal(spawnSync('g++', ['--version'], { env: { PATH: process.env.PATH } }).status, null);
assert.ok(loadLibrary().functions.includes('connection_step'));
assert.equal((await selectBackend()).name, 'vwn-cpu');

const x = tf.randomNormal([64, 8], 0, 1, 'float32', 1);
const targets = tf.argMax(x, 1);
for (const precision of ['fp32', 'bf16']) {
  setPrecision(precision);
  const weight = tf.variable(tf.zeros([8, 8]));
  const loss = () => tf.mean(linearCrossEntropy(linear(x, tf.eye(8)), weight, targets));
  const before = loss().dataSync()[0];
  for (let step = 0; step < 20; step++)
    tf.tidy(() => {
      const { grads } = tf.variableGrads(loss, [weight]);
      weight.assign(tf.sub(weight, tf.mul(Object.values(grads)[0], 2)));
    });
  assert.ok(loss().dataSync()[0] < before / 2, `${precision} does not learn`);
}

// Without the platform package the error says which one is wanted.
const folder = `node_modules/${platformPackage}`;
renameSync(folder, 'platform-package');
const script = "import('@vwn/kernels-cpu').then(({ loadLibrary }) => loadLibrary())";
const { stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
renameSync('platform-package', folder);
assert.match(stderr, new RegExp(`native library of vwn-cpu cannot be loaded.*Install ${platformPackage}`, 's'));
