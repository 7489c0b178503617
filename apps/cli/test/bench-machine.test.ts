import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { packageFolder } from '../src/bench/machine';

describe('the folder of this package', () => {
  it('is the nearest one above a module that has a package.json', () => {
    expect(packageFolder()).toBe(resolve(__dirname, '..'));
  });

  it('is the module’s own where a bundle lies outside of any package', () => {
    const folder = resolve('/', 'no-such-folder', 'bundle');
    expect(packageFolder(pathToFileURL(resolve(folder, 'vwn.mjs')).href)).toBe(folder);
  });
});
