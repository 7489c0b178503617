import { execFile } from 'node:child_process';
import { addon, bundle } from './bundle.mjs';

export interface ChildResult {
  /** Exit status, or the signal that ended the process. */
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly args?: readonly string[];
  /** Set on top of this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs an entry of this folder in a Node process of its own, which may crash. */
export async function runChild(entry: string, { args = [], env, timeoutMs = 50_000 }: ChildOptions = {}) {
  const file = await bundle(entry);
  return new Promise<ChildResult>((resolve) => {
    const environment = { VWN_CPU_ADDON: addon, ...process.env, ...env };
    const limits = { timeout: timeoutMs, maxBuffer: 2 ** 26, killSignal: 'SIGKILL' as const };
    execFile(process.execPath, [file, ...args], { env: environment, ...limits }, (error, stdout, stderr) =>
      resolve({ status: error ? (error.signal ?? error.code ?? 1) : 0, stdout, stderr }),
    );
  });
}

/** What a child reports as JSON on its standard output. @throws Error with the child's own text when it failed */
export async function reportOf<T>(entry: string, options: ChildOptions = {}): Promise<T> {
  const { status, stdout, stderr } = await runChild(entry, options);
  if (status !== 0) throw new Error(`${entry} ended with ${status}: ${stderr.slice(-2000)}`);
  return JSON.parse(stdout) as T;
}
