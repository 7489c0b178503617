import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The built command, as users run it; `npm test` builds before it tests. */
export const bin = fileURLToPath(new URL('../../bin/vwn.js', import.meta.url));

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function startVwn(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): ChildProcess {
  const env = { ...process.env, VWN_BACKEND: 'wasm', ...options.env };
  return spawn(process.execPath, [bin, ...args], { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs `vwn` to its end. */
export function vwn(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  const child = startVwn(args, options);
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'vwn-cli-test-'));
}

/** A configuration that trains in a second. */
export const smallConfig = `
model:
  vocab_size: 300
  hidden_size: 16
  intermediate_size: 32
  num_hidden_layers: 2
  num_attention_heads: 2
  virtual_width: { m: 2, n: 4 }
data: { corpus: [text.txt], tokenizer: { vocab_size: 300 }, holdout: 0.1 }
train: { batch_size: 2, sequence_length: 16, max_steps: 30, learning_rate: 0.01, warmup_steps: 3, eval_steps: 10, save_steps: 7, seed: 5 }
`;

/** Text with some structure to learn, the same every time. */
export const smallText = Array.from(
  { length: 300 },
  (_, i) => `The ${['cat', 'dog', 'owl'][i % 3]} saw ${i} stars in the night sky. `,
).join('');
