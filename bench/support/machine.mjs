import { execFileSync } from 'node:child_process';
import { arch, cpus, loadavg, platform, totalmem } from 'node:os';

/** The machine in words, for result files. */
export function describeMachine() {
  const cores = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cores.length} cores ${cores[0]?.model.trim()}, ${memory} GiB, ${platform()} ${arch()}, Node ${process.versions.node}`;
}

/** A folder's name for the machine; --machine says it better, since many hide which processor they are. */
export function machineName() {
  const cores = cpus();
  const model = (cores[0]?.model ?? 'unknown').replace(/\(\w+\)|@.*|\bcpu\b|processor|\d+-core/gi, '');
  const slug = model.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `${slug.replace(/^-|-$/g, '')}-${cores.length}core`;
}

/** Short hash of the checkout, "-dirty" when it holds changes besides results. */
export function describeCommit(folder) {
  const git = (...args) => execFileSync('git', args, { cwd: folder, encoding: 'utf8' }).trim();
  try {
    const changes = git('status', '--porcelain', '--', '.', ':(exclude)bench/results');
    return `${git('rev-parse', '--short', 'HEAD')}${changes ? '-dirty' : ''}`;
  } catch {
    return 'unknown';
  }
}

export function load() {
  return loadavg()[0];
}
