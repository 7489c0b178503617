/**
 * House rules that no other tool checks: every package has a README that begins with something to paste, relative
 * links in Markdown lead somewhere, and no tracked text names a folder of the machine it was written on.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const problems = [];

for (const parent of ['packages', 'apps', 'examples'])
  for (const name of readdirSync(join(root, parent)))
    if (existsSync(join(root, parent, name, 'package.json'))) checkReadme(`${parent}/${name}`);

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file && existsSync(join(root, file)));
for (const file of tracked.filter((name) => name.endsWith('.md'))) checkLinks(file);
for (const file of tracked.filter(
  (name) => /\.(ts|mjs|js|json|ya?ml|md|sh|py)$/.test(name) && name !== 'pnpm-lock.yaml',
))
  checkPaths(file);

for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`  ${tracked.length} files, ${problems.length} problems\n`);
process.exit(problems.length === 0 ? 0 : 1);

function checkReadme(folder) {
  const file = join(root, folder, 'README.md');
  if (!existsSync(file)) return problems.push(`${folder}: has no README.md`);
  const firstScreen = readFileSync(file, 'utf8').split('\n').slice(0, 25).join('\n');
  if (!firstScreen.includes('```')) problems.push(`${folder}/README.md: nothing to paste in its first 25 lines`);
}

function checkLinks(file) {
  const text = readFileSync(join(root, file), 'utf8').replace(/```[\s\S]*?```/g, '');
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^([a-z]+:|#)/.test(target)) continue;
    if (!existsSync(join(root, dirname(file), target.split('#')[0]))) problems.push(`${file}: broken link ${target}`);
  }
}

function checkPaths(file) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  lines.forEach((line, i) => {
    if (/(^|["'`\s=(])\/(work|root|home\/[a-z]+|Users|farm)\//.test(line))
      problems.push(`${file}:${i + 1}: names a folder of one machine`);
  });
}
