/** A process that takes training steps when asked to, and waits in between: one JSON line for every request. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const support = dirname(fileURLToPath(import.meta.url));
const checkout = join(support, '..', '..');

/** Ours: `root` is the checkout whose built packages it takes, by default this one. */
export function ourCommand({ backend, precision, width, sizes, threads, root }) {
  const settings = JSON.stringify({ backend, precision, width, sizes, threads });
  return {
    command: process.execPath,
    args: [join(support, 'step-server.mjs'), settings],
    env: root ? { VWN_BENCH_CHECKOUT: root } : {},
  };
}

export function torchCommand({ python, peer, mode, precision, width, sizes, threads, preload }) {
  const settings = JSON.stringify({ mode, precision, width, sizes, threads });
  return {
    command: python,
    args: [join(support, 'torch_step_server.py'), peer, settings],
    env: { OMP_NUM_THREADS: String(threads), ...(preload ? { LD_PRELOAD: preload } : {}) },
  };
}

/** @returns {Promise<{ hello: object, take(steps: number): Promise<object>, stop(): Promise<void> }>} */
export async function startContender({ command, args, env }) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const stderr = tailOf(child.stderr);
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(stderr.lastLine() || `ended by ${signal ?? `exit code ${code}`}`));
  });
  child.stdin.on('error', () => {}); // it has ended; `ended` says why
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    for (;;) {
      const { value, done } = await answers.next();
      if (done) throw new Error(`failed: ${(await ended).replaceAll(checkout, '.')}`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  };
  return {
    hello: await next(),
    take(steps) {
      child.stdin.write(`${steps}\n`);
      return next();
    },
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

/** Keeps the end of what a process says on stderr. */
function tailOf(stream) {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => (text = (text + chunk).slice(-4000)));
  return { lastLine: () => text.trim().split('\n').at(-1) };
}
