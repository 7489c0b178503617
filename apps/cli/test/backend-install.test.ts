import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { backendFolder, manifestFile, readManifest, tensorflowBackendLocation } from '../src/backend-install/location';
import { vwn } from './support/vwn';

const temporary = () => mkdtempSync(join(tmpdir(), 'vwn-backend-test-'));

describe('an installed tensorflow backend', () => {
  it('is looked for in VWN_BACKEND_DIR or the user’s data folder', () => {
    expect(backendFolder('here')).toMatch(/^here.tensorflow-tfjs-node-/);
    expect(backendFolder()).toContain('tensorflow-tfjs-node-');
  });

  it('counts only with its manifest, which is written last, and the module that it names', () => {
    const dir = temporary();
    const folder = backendFolder(dir);
    const module = join(folder, 'module');
    mkdirSync(module, { recursive: true });
    expect(tensorflowBackendLocation(dir)).toBeUndefined();
    writeFileSync(manifestFile(folder), JSON.stringify({ module: join(folder, 'gone'), tfjsNode: '4', wheel: 'w' }));
    expect(readManifest(folder)).toBeUndefined();
    writeFileSync(manifestFile(folder), JSON.stringify({ module, tfjsNode: '4', wheel: 'w' }));
    expect(tensorflowBackendLocation(dir)).toBe(module);
    for (const damaged of ['', '{"module":', 'null', '{}', '{"module":1}']) {
      writeFileSync(manifestFile(folder), damaged);
      expect(tensorflowBackendLocation(dir), damaged).toBeUndefined();
    }
  });
});

describe('vwn backend install tensorflow', () => {
  it('names the tool that is missing and how to get it', async () => {
    const path = temporary(); // npm is there, python3 is not
    writeFileSync(join(path, 'npm'), '#!/bin/sh\nexit 0\n');
    chmodSync(join(path, 'npm'), 0o755);
    const { status, stderr } = await vwn(['backend', 'install', 'tensorflow', '--dir', temporary()], {
      env: { PATH: path },
    });
    expect(status).toBe(1);
    expect(stderr).toContain('cannot be built without python3. To fix it: install python3 with pip');
  });

  it('says that a wheel is not where it was said to be, and leaves nothing that would be used', async () => {
    const dir = temporary();
    const { status, stderr } = await vwn(['backend', 'install', 'tensorflow', '--dir', dir, '--wheel', 'nowhere.whl']);
    expect(status).toBe(1);
    expect(stderr).toContain('there is no wheel at nowhere.whl');
    expect(tensorflowBackendLocation(dir)).toBeUndefined();
  }, 120_000);

  it('says that its folder cannot be made, and why', async () => {
    const dir = join(temporary(), 'file');
    writeFileSync(dir, '');
    const { status, stderr } = await vwn(['backend', 'install', 'tensorflow', '--dir', dir]);
    expect(status).toBe(1);
    expect(stderr).toContain(`cannot make the folder ${dir}: got a file where a folder should be`);
  });

  it('knows no other backend', async () => {
    const { status, stderr } = await vwn(['backend', 'install', 'cuda']);
    expect(status).toBe(2);
    expect(stderr).toContain('the one to install is: tensorflow');
  });
});
