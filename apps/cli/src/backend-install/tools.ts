import { BackendError } from '@vwn/core';
import { spawn, spawnSync } from 'node:child_process';

export interface Tools {
  readonly python: string;
  readonly compiler: string;
}

const needed = [
  { tool: 'npm', args: ['--version'], remedy: 'install Node.js with npm' },
  {
    tool: 'python3',
    args: ['-m', 'pip', '--version'],
    remedy: 'install python3 with pip (Debian: apt install python3-pip)',
  },
] as const;

/** @throws BackendError naming the first tool that is missing, and how to get it */
export function findTools(): Tools {
  if (process.platform !== 'linux')
    throw new BackendError('vwn backend install tensorflow builds on Linux only', {
      got: process.platform,
      hint: 'Install @tensorflow/tfjs-node yourself, or use the wasm backend',
    });
  for (const { tool, args, remedy } of needed) if (!works(tool, args)) throw missing(tool, remedy);
  const compiler = [process.env.CXX, 'g++', 'c++', 'clang++'].find((name) => name && works(name, ['--version']));
  if (!compiler) throw missing('a C++ compiler', 'install g++ (Debian: apt install g++)');
  return { python: 'python3', compiler };
}

function works(tool: string, args: readonly string[]): boolean {
  return spawnSync(tool, args, { stdio: 'ignore' }).status === 0;
}

function missing(tool: string, remedy: string): BackendError {
  return new BackendError(`the tensorflow backend cannot be built without ${tool}`, { hint: `To fix it: ${remedy}` });
}

/** Runs a program to its end. @throws BackendError with the last lines it printed */
export async function run(program: string, args: readonly string[], cwd: string, what: string): Promise<void> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-8000));
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const status = await new Promise<number | string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  if (status === 0) return;
  const last = output.trim().split('\n').slice(-6).join('\n');
  throw new BackendError(`could not ${what}`, {
    got: `\`${program} ${args.slice(0, 4).join(' ')} …\` ended with ${status}:\n${last}`,
  });
}
