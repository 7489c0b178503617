/**
 * Child process: makes the attempts of misuse-calls.ts from the one that the argument numbers on, and prints an outcome
 * a line. The last line may be missing: then that attempt ended the process.
 */
import { backend } from '@tensorflow/tfjs-core';
import { BackendError } from '@vwn/core';
import type { NativeBackend } from '@vwn/kernels';
import { writeSync } from 'node:fs';
import { attempts, type Attempt } from './misuse-calls';
import { useBackend } from './use-backend';

function outcomeOf({ function: name, buffers, numbers }: Attempt): string {
  const native = backend() as NativeBackend;
  const tensors = buffers.map(([size, type]) => native.output([size], type));
  // Ids and targets among them must be valid.
  tensors.forEach(({ dataId }, i) => {
    const values = native.dataOf(dataId).values as Float32Array;
    values.fill(0);
    values.set(buffers[i]?.[2] ?? []);
  });
  try {
    native.call(name, tensors, numbers);
    return 'accepted';
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return error instanceof BackendError && text.startsWith(`kernel ${name} failed: `) && error.got ? 'refused' : text;
  } finally {
    for (const each of tensors) native.disposeIntermediateTensorInfo(each);
  }
}

await useBackend('vwn-cpu');
for (const attempt of attempts.slice(Number(process.argv[2] ?? 0))) writeSync(1, `${outcomeOf(attempt)}\n`);
