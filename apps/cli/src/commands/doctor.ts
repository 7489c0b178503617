import { BackendError, backendReport, selectBackend, type BackendStatus } from '@vwn/core';
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
      const chosen = await chosenBackend();
      const machine = describeMachine();
      printResult(json, { machine, backends, chosen }, () => report(machine, backends, chosen));
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

async function chosenBackend(): Promise<string | undefined> {
  try {
    return (await selectBackend()).name;
  } catch (error) {
    if (error instanceof BackendError) return undefined;
    throw error;
  }
}

function report(machine: Machine, backends: BackendStatus[], chosen: string | undefined): string {
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
    chosen ? `Commands use: ${chosen} (choose another with --backend or VWN_BACKEND)` : 'No backend can run here.',
    ...(remedies.length > 0 ? ['', 'To get the others:', ...remedies] : []),
  ].join('\n');
}

function describeDetails(details: BackendStatus['details']): string {
  return Object.entries(details ?? {})
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(', ');
}
