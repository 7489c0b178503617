import { VwnError, backendReport, selectBackend, type BackendStatus } from '@vwn/core';
import { Command } from 'commander';
import os from 'node:os';
import { addInstalledBackends } from '../backends';
import { table } from '../terminal/format';
import { printResult } from '../terminal/output';

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('Show which TensorFlow.js backends can run here, which one is chosen, and why the others are not.')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: boolean }) => {
      addInstalledBackends();
      const backends = await backendReport();
      const choice = await chosenBackend();
      const machine = describeMachine();
      printResult(json, { machine, backends, ...choice }, () => report(machine, backends, choice));
    });
}

type Machine = ReturnType<typeof describeMachine>;

function describeMachine() {
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
  };
}

/** What commands run on that name no backend, or why they do not run. */
type Choice = { readonly chosen: string } | { readonly problem: string };

async function chosenBackend(): Promise<Choice> {
  try {
    return { chosen: (await selectBackend()).name };
  } catch (error) {
    if (error instanceof VwnError) return { problem: error.message };
    throw error;
  }
}

function report(machine: Machine, backends: BackendStatus[], choice: Choice): string {
  const rows = backends.map((each) => [
    each.available ? 'ok' : '--',
    each.name,
    each.available ? describeDetails(each.details) : (each.reason ?? ''),
  ]);
  const remedies = backends.flatMap((each) => (each.remedy ? [`  ${each.name}: ${each.remedy}`] : []));
  return [
    `Node ${machine.node} on ${machine.platform}, ${machine.cores} cores, ${machine.memory_gib} GiB (${machine.cpu})`,
    '',
    table([['', 'backend', 'state'], ...rows]),
    '',
    'chosen' in choice
      ? `Commands use: ${choice.chosen} (choose another with --backend or VWN_BACKEND)`
      : `Commands do not run: ${choice.problem}`,
    ...(remedies.length > 0 ? ['', 'To get the others:', ...remedies] : []),
  ].join('\n');
}

function describeDetails(details: BackendStatus['details']): string {
  return Object.entries(details ?? {})
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(', ');
}
