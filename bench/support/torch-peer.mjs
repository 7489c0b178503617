/** The PyTorch side: its command for one configuration, and the library that lets MKL run at full speed on AMD. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isFractional } from './flags.mjs';

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

/**
 * The peer's own command line has no way to leave out the norm before the reduce operator, which cannot be had with a
 * fractional n/m; so its bench() is called with that default changed.
 */
const fractionalBench = `
import functools, importlib.util, json, sys, types
spec = importlib.util.spec_from_file_location("peer", sys.argv[1])
peer = sys.modules["peer"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peer)
peer.Config = functools.partial(peer.Config, reduce_norm="none")
peer.bench(types.SimpleNamespace(device="cpu", **json.loads(sys.argv[2])))
`;

/** Arguments for Python that print the JSON line of one configuration. */
export function peerArguments(peer, { mode, precision, width, threads, sizes }) {
  const mn = `${width.m},${width.n}`;
  if (!isFractional(width)) {
    const flags = Object.entries({ mode, precision, mn, threads, ...sizes });
    return [peer, 'bench', ...flags.flatMap(([name, value]) => [`--${name}`, String(value)])];
  }
  const settings = { mode: [mode], precision: [precision], mn: [mn], threads, ...sizes };
  return ['-c', fractionalBench, peer, JSON.stringify(settings)];
}

/** What to write down about the peer. @throws Error when this Python has no torch */
export function describeTorch(python) {
  const script = 'import platform, torch; print("torch", torch.__version__ + ", Python", platform.python_version())';
  const { status, stdout, stderr, error } = spawnSync(python, ['-c', script], { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  const reason = error?.message ?? stderr.trim().split('\n').at(-1);
  throw new Error(`--python: ${python} cannot import torch (${reason}); see bench/README.md for how to install it`);
}
