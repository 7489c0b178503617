import { Command } from 'commander';
import { folder } from '../arguments';
import { installTensorflowBackend } from '../backend-install/index';
import { printResult } from '../terminal/output';

interface InstallFlags {
  wheel?: string;
  dir?: string;
  json?: boolean;
}

export function backendCommand(): Command {
  const command = new Command('backend').description('Manage TensorFlow.js backends that need more than npm.');
  command
    .command('install')
    .description(
      'Build a backend for this machine; `tensorflow`: tfjs-node’s addon on the libtensorflow of the PyPI wheel.',
    )
    .argument('<name>', 'tensorflow')
    .option('--wheel <file>', 'use this tensorflow or tensorflow-cpu wheel instead of asking pip for one')
    .option('--dir <folder>', 'where to put it (default: the user’s data folder, or VWN_BACKEND_DIR)', folder)
    .option('--json', 'print the result as JSON')
    .action(async (name: string, { wheel, dir, json }: InstallFlags, self: Command) => {
      if (name !== 'tensorflow') self.error(`error: unknown backend '${name}'; the one to install is: tensorflow`);
      const options = { ...(wheel === undefined ? {} : { wheel }), ...(dir === undefined ? {} : { dir }) };
      const result = await installTensorflowBackend(options, (line) => process.stderr.write(`${line}\n`));
      printResult(json, result, () => `The tensorflow backend is ready. Check with: vwn doctor`);
    });
  return command;
}
