import { engine, env, findBackendFactory, setBackend } from '@tensorflow/tfjs-core';
import { findBackend, knownBackends, type BackendLoader } from './backend-loaders';
import { BackendError, ConfigError, VwnError } from './errors';

export { registerBackendLoader, prepareTfjsNode, type BackendLoader } from './backend-loaders';

export interface BackendInfo {
  readonly name: string;
  /** Facts for people: package, threads, instruction sets. */
  readonly details: Readonly<Record<string, string>>;
}

export interface BackendStatus {
  readonly name: string;
  readonly available: boolean;
  readonly details?: Readonly<Record<string, string>>;
  /** Why it cannot run here. */
  readonly reason?: string;
  /** What would make it available. */
  readonly remedy?: string;
}

/**
 * Makes a backend the current one: the one named here, else by the environment variable VWN_BACKEND, else the first of
 * tensorflow on a GPU, vwn-cpu, tensorflow, wasm, cpu that works. vwn-cuda must be named: no GPU has run it yet.
 * @throws BackendError when the named one, or none at all, can run; ConfigError where an environment variable of one that is
 *   tried says what cannot be
 */
export async function selectBackend(name?: string): Promise<BackendInfo> {
  const chosen = name ?? (typeof process === 'undefined' ? undefined : process.env.VWN_BACKEND);
  if (chosen) return activate(chosen);
  const reasons = new Set<string>();
  for (const { name: candidate, onGpu } of preferred) {
    try {
      const info = await activate(candidate);
      if (!onGpu || usesGpu()) return info;
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      reasons.add(error.message);
    }
  }
  throw new BackendError(`no TensorFlow.js backend can run here:\n  ${[...reasons].join('\n  ')}`);
}

/** Without a GPU, tfjs-node comes after vwn-cpu, which has the project's own kernels. */
const preferred: readonly { name: string; onGpu?: boolean }[] = [
  { name: 'tensorflow', onGpu: true },
  { name: 'vwn-cpu' },
  { name: 'tensorflow' },
  { name: 'wasm' },
  { name: 'cpu' },
];

function usesGpu(): boolean {
  return (engine().backend as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true;
}

/** The state of every known backend, in order of preference. Tries each; the current one stays current. */
export async function backendReport(): Promise<BackendStatus[]> {
  const before = engine().backendName;
  const report: BackendStatus[] = [];
  for (const { name, remedy } of knownBackends) {
    try {
      const { details } = await activate(name);
      report.push({ name, available: true, details });
    } catch (error) {
      report.push({ name, available: false, ...whyAbsent(error, remedy) });
    }
  }
  if (before) await setBackend(before);
  return report;
}

/** Of a setting the whole message: what was got does not say which one it is. */
function whyAbsent(error: unknown, remedy: string): { reason: string; remedy: string } {
  if (error instanceof ConfigError) return { reason: error.message, remedy: 'correct the environment variable' };
  return { reason: error instanceof VwnError ? (error.got ?? error.message) : String(error), remedy };
}

async function activate(name: string): Promise<BackendInfo> {
  const { loaders, remedy } = findBackend(name);
  const details = await load(name, loaders, remedy);
  const works = await setBackend(name).catch(() => false);
  if (!works) throw new BackendError(`backend ${name} cannot start`, { got: await whyNot(name), hint: remedy });
  return { name, details: { ...details, ...(await facts(name)) } };
}

/** Registered by a package that then could not load its library. */
const failed = new Set<string>();

/** tfjs prints what a backend's factory throws, and tells its caller nothing. */
async function whyNot(name: string): Promise<string> {
  try {
    await findBackendFactory(name)?.();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    return firstLine(error);
  }
  return 'it was loaded but did not initialise';
}

async function load(name: string, loaders: readonly BackendLoader[], hint: string): Promise<Record<string, string>> {
  const { registry, registryFactory } = engine();
  // Looked up without tfjs's findBackend, which would start a registered backend and print what it fails of.
  if (name in registry || (name in registryFactory && !failed.has(name))) return {};
  const reasons: string[] = [];
  for (const loader of loaders) {
    try {
      const details = await loader();
      if (name in registryFactory) return details ?? {};
      reasons.push('the package does not register it');
    } catch (error) {
      failed.add(name);
      if (error instanceof ConfigError) throw error; // a setting to be corrected, which another backend would hide
      reasons.push(firstLine(error));
    }
  }
  failed.add(name);
  throw new BackendError(`backend ${name} is not available`, { got: [...new Set(reasons)].join('; '), hint });
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const missing = /Cannot find (?:package|module) '([^']+)'/.exec(text);
  return missing ? `${missing[1]} is not installed` : (text.split('\n').find((line) => line.trim() !== '') ?? text);
}

/** What a backend says of itself; those of this project have `describe`. */
interface Describing {
  describe?(): Record<string, string>;
}

async function facts(name: string): Promise<Record<string, string>> {
  if (name === 'tensorflow') return { device: usesGpu() ? 'GPU' : 'CPU' };
  if (name !== 'wasm') return (engine().backend as unknown as Describing).describe?.() ?? {};
  const simd = await env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const threads = await env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT');
  return { simd: simd ? 'yes' : 'no', threads: threads ? 'yes' : 'one (tfjs uses no threads in Node)' };
}
