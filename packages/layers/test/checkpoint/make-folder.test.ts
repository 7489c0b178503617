import { existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFolder } from '../../src/checkpoint/index';
import { temporaryFolder } from '../support/temporary-folder';

const folder = temporaryFolder();

describe('a folder to be made', () => {
  it('comes with those above it, and may be there already', () => {
    const dir = join(folder, 'a', 'b', 'c');
    makeFolder(dir);
    makeFolder(dir);
    expect(statSync(dir).isDirectory()).toBe(true);
  });

  it('is refused where a file, or a link to nothing, stands in its place or above it', () => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync(join(folder, 'nothing'), join(folder, 'link'));
    for (const dir of ['file', 'file/in', 'link', 'link/in', 'link/in/it'])
      expect(() => makeFolder(join(folder, dir)), dir).toThrow(/EEXIST|ENOTDIR/);
    expect(() => makeFolder('')).toThrow('ENOENT');
  });

  it.runIf(existsSync('/proc/self'))('is refused at once where the file system makes no folders', () => {
    for (const dir of ['/proc/vwn', '/proc/vwn/run']) expect(() => makeFolder(dir), dir).toThrow('ENOENT');
  });
});
