/** Arguments and threads of the library are one for the process: two threads of Node must not both call it. */
import { loadLibrary } from '@vwn/kernels-cpu';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { addon } from './support/bundle.mjs';
import { describeNative } from './support/native';

const file = process.env.VWN_CPU_ADDON ?? addon;
const load = `try { require(${JSON.stringify(file)}); console.log('loaded'); } catch (error) { console.log(error.message); }`;

describeNative('a worker thread', () => {
  it('is refused while another thread uses the library, with a text that says so', async () => {
    loadLibrary();
    const script = `const { parentPort } = require('node:worker_threads');
      try { require(${JSON.stringify(file)}); parentPort.postMessage('loaded'); }
      catch (error) { parentPort.postMessage(error.message); }`;
    const [message] = await once(new Worker(script, { eval: true }), 'message');
    expect(message).toBe('another thread of this process uses vwn-cpu already: run it in one of them');
  });

  it('may use the library when no other thread does, and the next one when it has ended', () => {
    const script = `const { Worker } = require('node:worker_threads');
      const run = () => new Promise((done) => new Worker(${JSON.stringify(load)}, { eval: true }).on('exit', done));
      run().then(run).then(() => { ${load} });`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'loaded\nloaded\nloaded\n', stderr: '' });
  });
});
