/** Child process: prints the threads of the backend that is chosen without a name, or why none is. */
import { VwnError, registerBackendLoader, selectBackend } from '@vwn/core';
import { loadLibrary } from '@vwn/kernels-cpu';
import { stdout } from 'node:process';

registerBackendLoader('vwn-cpu', async () => void loadLibrary());
try {
  await selectBackend();
  stdout.write(String(loadLibrary().threads()));
} catch (error) {
  if (!(error instanceof VwnError)) throw error;
  stdout.write(`${error.name} ${error.message}`);
}
