import { StorageError } from '@vwn/core';
import { ExitCode, printFailure } from './failure';

/**
 * What becomes of a command when nobody reads it any more, as behind `| head`. Without a reader of results there is nothing
 * left to do. Without one of progress there is: a training run must not end with the program that its progress was piped to.
 */
export function outliveReaders(): void {
  process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EPIPE') process.exit();
    printFailure(new StorageError('cannot write the results', { got: cause.message, cause }));
    process.exit(ExitCode.failed);
  });
  process.stderr.on('error', () => undefined);
}
