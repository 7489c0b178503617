/**
 * Child process: fills memory with tensors of 100 MiB, disposes of them, has the system give it next to nothing more, and then needs
 * memory of other sizes. Prints what became of a large tensor, or of a kernel that needs scratch memory.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { linearCrossEntropy } from '@vwn/core';
import { useBackend } from './use-backend';

const tensorOf = (mebibytes: number) => tf.tidy(() => tf.matMul(tf.ones([mebibytes * 256, 1]), tf.ones([1, 1024])));

/** Address space beyond what the process has now. */
function allowOnly(mebibytes: number): void {
  const pages = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[0]);
  const limit =
    'import resource, sys; pid, size = map(int, sys.argv[1:]); resource.prlimit(pid, resource.RLIMIT_AS, (size, size))';
  execFileSync('python3', ['-c', limit, String(process.pid), String(pages * 4096 + mebibytes * 2 ** 20)]);
}

function outcome(body: () => void): string {
  try {
    tf.tidy(body);
    return 'done';
  } catch (error) {
    return (error as Error).message;
  }
}

await useBackend('vwn-cpu');
const [h, w, targets] = [tf.ones([1200, 8]), tf.ones([120000, 8]), tf.zeros([1200], 'int32')];
const loss = (x: tf.Tensor, weight: tf.Tensor) => tf.sum(linearCrossEntropy(x, weight, targets));
const bodies: Readonly<Record<string, () => void>> = {
  tensor: () => void tensorOf(900),
  scratch: () =>
    tf
      .grads(loss)([h, w])
      .forEach((each) => each.dataSync()),
};
tf.dispose(Array.from({ length: 12 }, () => tensorOf(100)));
allowOnly(32);
process.stdout.write(outcome(bodies[process.argv[2] as string] as () => void));
