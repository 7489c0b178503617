/**
 * In place of packages/kernels-cpu/test/support/child.ts, which bundles what it runs: here that lies beside the test, and runs
 * under the emulator (VWN_EMULATED_NODE), for as long as it takes.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function runChild(entry, { args = [], env } = {}) {
  const file = fileURLToPath(new URL(entry.replace(/\.ts$/, '.mjs'), import.meta.url));
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: 2 ** 26 };
    execFile(process.env.VWN_EMULATED_NODE, [file, ...args], options, (error, stdout, stderr) =>
      resolve({ status: error ? (error.signal ?? error.code ?? 1) : 0, stdout, stderr }),
    );
  });
}

/** What a child reports as JSON. @throws Error with the child's own text when it failed */
export async function reportOf(entry, options) {
  const { status, stdout, stderr } = await runChild(entry, options);
  if (status !== 0) throw new Error(`${entry} ended with ${status}: ${stderr.slice(-2000)}`);
  return JSON.parse(stdout);
}
