/** `vwn`: reads the command line, runs one command, turns errors into one readable message and an exit code. */
import { buildProgram } from './program';
import { outliveReaders } from './terminal/closed-output';
import { exitCodeOf, printFailure } from './terminal/failure';

outliveReaders();
try {
  await buildProgram().parseAsync(process.argv);
} catch (error) {
  printFailure(error);
  process.exitCode = exitCodeOf(error);
}
