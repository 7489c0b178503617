import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Versions that are known to work together. */
export const versions = { tfjsNode: '4.22.0', nodeApiHeaders: '1', tensorflow: '2.21.0' } as const;

/** Written last; a folder without it is not an installation. */
const manifestName = 'vwn-backend.json';

export interface Manifest {
  /** Path of the tfjs-node package, to be loaded with require. */
  readonly module: string;
  readonly tfjsNode: string;
  readonly wheel: string;
}

/** Folder of installed backends: VWN_BACKEND_DIR, else the user's data folder. */
export function backendFolder(dir = process.env.VWN_BACKEND_DIR): string {
  const dataHome = process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share');
  return join(dir || join(dataHome, 'vwn', 'backends'), `tensorflow-tfjs-node-${versions.tfjsNode}`);
}

export function manifestFile(folder: string): string {
  return join(folder, manifestName);
}

/** The complete installation in a folder, if there is one. */
export function readManifest(folder: string): Manifest | undefined {
  const file = manifestFile(folder);
  if (!existsSync(file)) return undefined;
  const manifest = parse(readFileSync(file, 'utf8'));
  return typeof manifest?.module === 'string' && existsSync(manifest.module) ? manifest : undefined;
}

/** A damaged manifest is that of no installation: a new one replaces it. */
function parse(text: string): Manifest | undefined {
  try {
    return JSON.parse(text) as Manifest;
  } catch {
    return undefined;
  }
}

/** Path of the installed tfjs-node package, to be loaded with require; undefined when there is none. */
export function tensorflowBackendLocation(dir?: string): string | undefined {
  return readManifest(backendFolder(dir))?.module;
}
