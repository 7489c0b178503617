/** A process that takes training steps when asked to, and waits in between: a line `steps: JSON` for every request. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';

const support = dirname(fileURLToPath(import.meta.url));
const checkout = join(support, '..', '..');

/** Ours: `root` is the checkout whose built packages it takes. */
export function ourCommand({ backend, precision, width, sizes, threads, root = checkout }) {
  const settings = JSON.stringify({ backend, precision, width, sizes, threads });
  return {
    command: process.execPath,
    args: [join(support, 'step-server.mjs'), settings],
    env: { VWN_BENCH_CHECKOUT: root },
  };
}

export function torchCommand({ python, peer, mode, device = 'cpu', precision, width, sizes, threads, preload }) {
  const settings = JSON.stringify({ mode, device, precision, width, sizes, threads });
  return {
    command: python,
    args: [join(support, 'torch_step_server.py'), peer, settings],
    env: { OMP_NUM_THREADS: String(threads), ...(preload ? { LD_PRELOAD: preload } : {}) },
  };
}

/** What a process says before every answer; whatever else it prints is not for us. */
const mark = 'steps: ';
/** Time to end by itself when it is no longer asked for anything. */
const graceMs = 10_000;

/** @returns {Promise<{ hello: object, take(steps: number): Promise<object>, stop(): Promise<void> }>} */
export async function startContender({ command, args, env }) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = endOf(child);
  child.stdin.on('error', () => {}); // it has ended; `ended` says why
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`failed: ${(await ended).replaceAll(checkout, '.')}`);
      if (value.startsWith(mark)) return JSON.parse(value.slice(mark.length));
    }
  };
  const stop = async () => {
    child.stdin.end();
    const late = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await ended;
    clearTimeout(late);
  };
  const hello = await next().catch(async (error) => {
    await stop();
    throw error;
  });
  const take = (steps) => {
    child.stdin.write(`${steps}\n`);
    return next();
  };
  return { hello, take, stop };
}

/** Why a process ended, when it has: the signal, else the last line that it wrote to stderr. */
function endOf(child) {
  let text = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk) => (text = (text + chunk).slice(-4000)));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => {
      const reason = () => (signal ? `ended by ${signal}` : text.trim().split('\n').at(-1) || `exit code ${code}`);
      child.on('close', () => resolve(reason()));
      setTimeout(() => resolve(reason()), 1000).unref(); // its own children may hold the pipes open
    });
  });
}
