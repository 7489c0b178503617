/** Child process: trains a small model and prints a digest of every bit of it after each step, for each given number of threads. */
import { backend } from '@tensorflow/tfjs-core';
import { setPrecision, type Precision } from '@vwn/core';
import type { NativeBackend } from '@vwn/kernels';
import { createHash } from 'node:crypto';
import { SmallModel } from './small-model';
import { useBackend } from './use-backend';

export interface TrainDigest {
  readonly threads: number;
  readonly losses: readonly number[];
  readonly digests: readonly string[];
}

/** Large enough that products, norms and connections are shared out among threads. */
const sizes = { batch: 2, tokens: 131, vocabulary: 301, heads: 3, m: 3, n: 5, db: 10 };

function train(threads: number): TrainDigest {
  (backend() as NativeBackend).library.setThreads(threads);
  const model = new SmallModel(sizes, 7);
  const [losses, digests]: [number[], string[]] = [[], []];
  for (let step = 0; step < 3; step++) {
    losses.push(model.step());
    const hash = createHash('sha256');
    for (const each of model.read()) hash.update(new Uint8Array(each.buffer, each.byteOffset, each.byteLength));
    digests.push(hash.digest('hex'));
  }
  model.dispose();
  return { threads, losses, digests };
}

const [precision, ...threads] = process.argv.slice(2);
await useBackend('vwn-cpu');
setPrecision(precision as Precision);
process.stdout.write(JSON.stringify(threads.map((each) => train(Number(each)))));
