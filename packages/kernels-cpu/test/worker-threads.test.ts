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
    expect(message).toBe('another thread of this process uses vwn-cpu already');
  });

  it('may use the library when no other thread does, and the next one when it has ended', () => {
    const script = `const { Worker } = require('node:worker_threads');
      const run = () => new Promise((done) => new Worker(${JSON.stringify(load)}, { eval: true }).on('exit', done));
      run().then(run).then(() => { ${load} });`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'loaded\nloaded\nloaded\n', stderr: '' });
  });
});

describeNative('a thread that loads the library once more', () => {
  /** Fills a block by each copy of the library in turn, and says which another thread may load meanwhile. */
  const script = `const { Worker, isMainThread } = require('node:worker_threads');
    const file = ${JSON.stringify(file)};
    const load = () => (delete require.cache[file], require(file));
    const fill = (library, value) => {
      const { buffer, address } = library.allocate(64);
      library.arguments.set([library.functions.indexOf('fill'), 1, 2, address, 4, 0, 4, value]);
      library.run();
      return new Float32Array(buffer, 0, 4).join();
    };
    const copies = [load(), load()];
    console.log(copies[0] !== copies[1], fill(copies[0], 1), fill(copies[1], 2), fill(copies[0], 3));`;
  const run = (code: string) => spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' });

  it('shares it with itself: both copies work', () => {
    const { status, stdout, stderr } = run(script);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'true 1,1,1,1 2,2,2,2 3,3,3,3\n', stderr: '' });
  });

  it('keeps other threads from it until it ends, and not longer', () => {
    const inWorker = (code: string) => `new Promise((done) => new Worker(${code}, { eval: true }).on('exit', done))`;
    const meanwhile = `${script}\n${inWorker(JSON.stringify(load))};`;
    const { status, stdout, stderr } = run(`const { Worker } = require('node:worker_threads');
      ${inWorker(JSON.stringify(meanwhile))}.then(() => { ${load} });`);
    const refused = 'another thread of this process uses vwn-cpu already';
    const expected = `true 1,1,1,1 2,2,2,2 3,3,3,3\n${refused}\nloaded\n`;
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: expected, stderr: '' });
  });
});
