/** PyTorch's side of kernels.mjs: one process that times all operations that it has. */
import { spawnSync } from 'node:child_process';
import { describeTorch } from '../support/torch-peer.mjs';

/**
 * What to write down about the peer, and for each operation, where PyTorch has it, milliseconds by the way it was done.
 * @throws Error with what the peer said when it fails
 */
export function timeTorch({ peer, python, device }, operations, plan) {
  const described = describeTorch(python);
  const input = JSON.stringify({ device, ...plan, operations: operations.map(({ op, sizes }) => ({ op, sizes })) });
  const { status, stdout, stderr, error } = spawnSync(python, [peer], { input, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`--peer: ${peer} failed (${error?.message ?? stderr.trim().split('\n').at(-1)})`);
  return { peer: described, torch: JSON.parse(stdout).map((each) => each ?? undefined) };
}
