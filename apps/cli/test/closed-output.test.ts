import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bin, smallConfig, smallText, startVwn, temporaryFolder, vwn } from './support/vwn';

const cwd = temporaryFolder();
const train = (out: string) => ['train', 'config.yaml', '--out', out];

beforeAll(async () => {
  writeFileSync(join(cwd, 'text.txt'), smallText);
  writeFileSync(join(cwd, 'config.yaml'), smallConfig);
  const { status, stderr } = await vwn([...train('run'), '--set', 'train.max_steps=1'], { cwd });
  if (status !== 0) throw new Error(stderr);
});

async function ended(child: ChildProcess) {
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const status = await new Promise((resolve) => child.on('close', resolve));
  return { status, stderr };
}

describe('a command whose results nobody reads', () => {
  it.each([
    ['score', ['score', 'run', '--text', 'text.txt', '--json']],
    ['generate', ['generate', 'run', '--prompt', 'The cat', '--max-tokens', '100000']],
    ['help', ['--help']],
  ])('ends at once, with 0 and without a word: %s', async (_name, args) => {
    const child = startVwn(args, { cwd });
    child.stdout?.destroy();
    expect(await ended(child)).toEqual({ status: 0, stderr: '' });
  });

  it.runIf(existsSync('/dev/full'))('fails where they cannot be written', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [bin, 'cost', 'config.yaml'], { cwd, stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    const { status, stderr } = await ended(child);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^vwn: cannot write the results: got ENOSPC.*\n$/);
  });
});

describe('training whose progress nobody reads', () => {
  it.each(['stderr', 'stdout and stderr'])('goes on to its end and saves: %s', async (closed) => {
    const out = closed.replaceAll(' ', '-');
    const child = startVwn(train(out), { cwd });
    if (closed !== 'stderr') child.stdout?.destroy();
    child.stderr?.once('data', () => child.stderr?.destroy());
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(existsSync(join(cwd, out, 'checkpoint-30'))).toBe(true);
  });
});
