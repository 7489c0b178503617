import { setBackend } from '@tensorflow/tfjs-core';
import { loadLibrary } from '@vwn/kernels-cpu';

/** For child processes: as tf.setBackend, which only warns when the library does not load. @throws BackendError */
export async function useBackend(name: 'cpu' | 'vwn-cpu'): Promise<void> {
  if (name === 'vwn-cpu') loadLibrary();
  if (!(await setBackend(name))) throw new Error(`backend ${name} does not initialise`);
}
