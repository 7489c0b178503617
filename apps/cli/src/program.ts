import { Command } from 'commander';
import packageJson from '../package.json';
import { backendCommand } from './commands/backend';
import { benchCommand } from './commands/bench';
import { costCommand } from './commands/cost';
import { doctorCommand } from './commands/doctor';
import { evalCommand } from './commands/eval';
import { generateCommand } from './commands/generate';
import { quickstartCommand } from './commands/quickstart';
import { scoreCommand } from './commands/score';
import { trainCommand } from './commands/train';

/** The command tree. Each command is one file in commands/, which loads what it needs only when it runs. */
export function buildProgram(): Command {
  const program = new Command('vwn')
    .description('Train, evaluate and compare Virtual Width Networks (arXiv 2511.11238) on TensorFlow.js.')
    .version(packageJson.version)
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', '\nExit codes: 0 done, 1 failed with the reason printed, 2 wrong usage, 130 interrupted.');
  const commands = [
    quickstartCommand(),
    trainCommand(),
    scoreCommand(),
    generateCommand(),
    evalCommand(),
    costCommand(),
    benchCommand(),
    doctorCommand(),
    backendCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  exitByThrowing(program);
  return program;
}

/** Commander would end the process itself; main decides on the exit code instead. */
function exitByThrowing(command: Command): void {
  command.exitOverride();
  command.commands.forEach((each) => exitByThrowing(each as Command));
}
