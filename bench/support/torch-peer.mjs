/** What the PyTorch side needs besides its server: the library that lets MKL run at full speed on AMD, and its version. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * MKL asks this function whether the processor is Intel's, and takes slow code paths if not; a library that is loaded
 * first and says yes gives AMD the paths that its instruction sets allow.
 */
const unlockSource = 'int mkl_serv_intel_cpu_true(void) { return 1; }\n';

/** @returns {{ library: string, remove(): void } | undefined} nothing where no C compiler is found */
export function buildUnlock() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'vwn-mkl-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const source = join(folder, 'unlock.c');
  const library = join(folder, 'libunlock.so');
  writeFileSync(source, unlockSource);
  for (const compiler of ['cc', 'gcc'])
    if (spawnSync(compiler, ['-O2', '-shared', '-fPIC', '-o', library, source]).status === 0)
      return { library, remove };
  remove();
  return undefined;
}

/** What to write down about the peer. @throws Error when this Python has no torch */
export function describeTorch(python) {
  const script = 'import platform, torch; print("torch", torch.__version__ + ", Python", platform.python_version())';
  const { status, stdout, stderr, error } = spawnSync(python, ['-c', script], { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  const reason = error?.message ?? stderr.trim().split('\n').at(-1);
  throw new Error(`--python: ${python} cannot import torch (${reason}); see bench/README.md for how to install it`);
}
