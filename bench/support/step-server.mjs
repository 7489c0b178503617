/**
 * Our side of a comparison in turns (turns.mjs): a process that keeps one model and takes as many steps as each line on
 * stdin asks for. Its argument is JSON: { backend, precision, width: { m, n }, sizes, threads }.
 * Stdout: a line `steps: JSON` when it is ready, then one for each line read.
 */
import { createInterface } from 'node:readline';
import { loadPackages, memoryNow, startTraining } from './training-step.mjs';

try {
  await serve(JSON.parse(process.argv[2]));
} catch (error) {
  console.error(error.message); // the last line on stderr is what the comparison shows as the reason
  process.exitCode = 1;
}

async function serve({ backend, precision, width, sizes, threads }) {
  const packages = await loadPackages(backend, threads);
  const training = startTraining(packages, sizes, width, precision);
  say({ parameters: training.parameters, details: packages.details });
  for await (const line of createInterface({ input: process.stdin })) {
    const ms = [];
    let loss;
    for (let i = 0; i < Number(line); i++) {
      const timed = await training.timed();
      ms.push(timed.ms);
      loss = timed.result.loss;
    }
    say({ ms, loss, memory: memoryNow(packages.tf) });
  }
  training.dispose();
}

function say(message) {
  process.stdout.write(`steps: ${JSON.stringify(message)}\n`);
}
