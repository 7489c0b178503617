import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly os: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
    os: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
  };
}

/** The folder of this package; source and build lie at different depths in it. Bundled without one: of the module. */
export function packageFolder(moduleUrl: string = import.meta.url): string {
  const own = dirname(fileURLToPath(moduleUrl));
  for (let folder = own; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) return own;
  }
}

/**
 * Short hash of the checkout that this command is from, `-dirty` when it holds changes besides results. Undefined when
 * it was installed: a repository around it is then somebody else's.
 */
export function describeCommit(folder: string = packageFolder()): string | undefined {
  const git = (...args: string[]) => {
    const { status, stdout } = spawnSync('git', args, { cwd: folder, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : undefined;
  };
  if (git('rev-parse', '--show-prefix') !== 'apps/cli/') return undefined;
  const commit = git('rev-parse', '--short', 'HEAD');
  const changes = git('status', '--porcelain', '--', ':/', ':(top,exclude)bench/results');
  return commit === undefined ? undefined : `${commit}${changes ? '-dirty' : ''}`;
}
