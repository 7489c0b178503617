/** cuBLASLt's side of kernels.mjs: a program that is compiled where nvcc and cuBLASLt's header are, and times all linear layers. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { findNvcc } from '../../packages/kernels-cuda/scripts/images.mjs';

/**
 * What to write down about the library, and for each operation that is a linear layer milliseconds by how the algorithms were
 * chosen; or the `reason` why there is nothing to compare with.
 */
export function timeCublasLt(source, operations, plan) {
  const folder = mkdtempSync(join(tmpdir(), 'vwn-cublaslt-'));
  try {
    const program = join(folder, 'cublaslt-peer');
    const reason = whyNotBuilt(source, program);
    return reason ? { reason, times: [] } : timed(program, operations, plan);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Compiles against the library that ours uses, where VWN_CUBLASLT names one. PyTorch's has its header beside it. */
function whyNotBuilt(source, program) {
  const nvcc = findNvcc();
  if (!nvcc) return 'no nvcc, which NVCC can name';
  const named = process.env.VWN_CUBLASLT;
  const args = ['-std=c++17', '-O2', source, '-o', program];
  if (!named || named === 'none') return attempt(nvcc.command, [...args, '-lcublasLt']).reason;
  const [, folder, name] = /^(.*)\/([^/]+)$/.exec(resolve(named));
  const header = ['-isystem', join(dirname(folder), 'include')];
  return attempt(nvcc.command, [...args, ...header, `-L${folder}`, `-l:${name}`, `-Xlinker=-rpath=${folder}`]).reason;
}

function timed(program, operations, { turns, repeat }) {
  const isLinear = operations.map(({ op }) => op === 'linear');
  const shapes = operations.filter((_, i) => isLinear[i]).flatMap(({ sizes }) => [sizes.rows, sizes.width, sizes.out]);
  const { stdout, reason } = attempt(program, [turns, repeat, ...shapes].map(String));
  if (reason) return { reason, times: [] };
  const answer = JSON.parse(stdout);
  return { library: answer.library, times: isLinear.map((is) => (is ? answer.shapes.shift() : undefined)) };
}

/** What the command printed, or why it failed, without the names of this machine's folders that compilers begin with. */
function attempt(command, args) {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return { stdout };
  const lines = (stderr ?? '').trim().split('\n');
  const line = lines.find((each) => /error|cannot/i.test(each)) ?? lines.at(-1);
  return { reason: error?.message ?? (line.replace(/^\S*\/\S*:\s*/, '') || `it ended with ${signal ?? status}`) };
}
