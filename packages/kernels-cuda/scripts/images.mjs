/**
 * Kernels as nvcc compiles them: one image for each file of native/device, with machine code for every kind of GPU that
 * is named here and PTX for those to come, kept by the hash of what went into it, beside what ptxas says of registers.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { filesIn, hashOf, include, inParallel } from '../../kernels/scripts/native-build.mjs';

/** A100, RTX 30, L4 and RTX 40, H100 and H200 with what no other GPU has, B200. */
export const architectures = ['80', '86', '89', '90a', '100'];
/** What GPUs that are none of these compile for themselves. */
const portable = '80';

export function findNvcc() {
  for (const command of [process.env.NVCC, 'nvcc', '/usr/local/cuda/bin/nvcc'].filter(Boolean)) {
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (status === 0) return { command, version: stdout };
  }
  return undefined;
}

/**
 * Compiles what is not there yet. Resolves to [{ stem, image, report }] in order of names. With `architecture`, images are its PTX
 * as text.
 */
export async function compileImages(nvcc, native, folder, architecture) {
  mkdirSync(folder, { recursive: true });
  const device = join(native, 'device');
  const flags = [
    ...flagsOf(native),
    ...(architecture ? ['-ptx', '-lineinfo', `-arch=sm_${architecture}`] : flagsOfImages()),
  ];
  const extension = architecture ? `${architecture}.ptx` : 'fatbin';
  const base = hashOf([nvcc.version, flags.join(' '), ...filesIn(device, '.h'), ...filesIn(include, '.h')]);
  const images = filesIn(device, '.cu').map((source) => {
    const stem = basename(source, '.cu');
    const image = join(folder, `${stem}-${hashOf([source, base]).slice(0, 16)}.${extension}`);
    return { stem, source, image, report: `${image.slice(0, -extension.length)}txt` };
  });
  await inParallel(
    images.filter(({ image }) => !existsSync(image)),
    (each) => compile(nvcc.command, flags, each),
  );
  return images;
}

function flagsOf(native) {
  return ['-std=c++20', '-O3', `-I${native}`, `-I${include}`, '-DVWN_ISA=cuda'];
}

function flagsOfImages() {
  const targets = architectures.map((each) => `-gencode=arch=compute_${each},code=sm_${each}`);
  targets.push(`-gencode=arch=compute_${portable},code=compute_${portable}`);
  return ['-fatbin', '-Xptxas', '-v', ...targets];
}

async function compile(nvcc, flags, { source, image, report }) {
  const { code, output } = await outputOf(nvcc, [...flags, source, '-o', `${image}.new`]);
  if (code !== 0) throw new Error(`nvcc failed on ${basename(source)} (exit ${code}):\n${output}`);
  writeFileSync(report, output);
  renameSync(`${image}.new`, image);
}

function outputOf(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** C++ that holds the images as bytes: `images`, ending with a null, as driver/images.h declares it. */
export function imagesSource(images) {
  const names = images.map((_, i) => `vwn_cuda_image_${i}`);
  const parts = images.map(
    ({ image }, i) => `asm(".section .rodata\\n.balign 64\\n${names[i]}: .incbin \\"${image}\\"\\n.byte 0\\n.text");`,
  );
  const declarations = names.map((name) => `extern "C" const char ${name}[];`);
  return `${[
    '#include "driver/images.h"',
    ...parts,
    ...declarations,
    'namespace vwn {',
    'namespace cuda {',
    `const void *const images[] = {${[...names, 'nullptr'].join(', ')}};`,
    '}  // namespace cuda',
    '}  // namespace vwn',
  ].join('\n')}\n`;
}

/** [{ kernel, architecture, registers, spilledBytes }] of what `ptxas -v` says. */
export function readReport(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '(\w+)' for 'sm_(\w+)'/.exec(line);
    if (entry) kernels.push({ kernel: entry[1], architecture: entry[2], registers: 0, spilledBytes: 0 });
    const last = kernels.at(-1);
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (last && spills) last.spilledBytes = Number(spills[1]) + Number(spills[2]);
    const registers = /Used (\d+) registers/.exec(line);
    if (last && registers) last.registers = Number(registers[1]);
  }
  return kernels;
}
