/**
 * Loads the addon for GPUs on the driver that VWN_CUDA_DRIVER names; writes, fills and reads a block, fills it twice by a
 * recording, and asks for products of float32 and of bf16, for what a sublayer reads by (4,8), and for attention of one query
 * and its gradients in bf16; prints JSON.
 */
import { createRequire } from 'node:module';

const [floats, halves] = [0, 1];
const report = {};
const load = () => createRequire(import.meta.url)('../../build/vwn_cuda.node');
try {
  const library = load();
  report.device = library.instructionSet;
  const block = library.allocate(64);
  report.hasMemory = block !== null;
  if (block) {
    report.hostBytes = block.buffer.byteLength;
    library.write(
      block.address,
      Uint8Array.from({ length: 64 }, (_, i) => i),
    );
    const read = new Uint8Array(64);
    library.read(block.address, read);
    report.isWhatWasWritten = read.every((value, i) => value === i);
    const fill = [library.functions.indexOf('fill'), 1, 2, block.address, 16, 0, 16, 1];
    library.arguments.set(fill);
    library.run();
    report.records = Boolean(library.recordings);
    if (report.records) playTwice(library.recordings, Float64Array.from([...fill, ...fill]));
    for (const type of [floats, halves]) multiply(library, block.address, type);
    readSlots(library, block.address);
    attend(library, block.address);
  }
} catch (error) {
  report.error = error.message.split('\n')[0];
  if (!report.device) report.secondError = secondError();
}

function playTwice(recordings, calls) {
  const recording = recordings.record(calls);
  report.played = [recordings.play(recording), recordings.play(recording)];
  recordings.release(recording);
}

/** Operands of so many numbers each, all at one address: no kernel runs. */
function call(library, name, address, operands, numbers) {
  const all = operands.flatMap(([size, type]) => [address, size, type]);
  const index = library.functions.indexOf(name);
  library.arguments.set([index, operands.length, numbers.length, ...all, ...numbers]);
  library.run();
}

function multiply(library, address, type) {
  const operands = [type, type, floats].map((each) => [1, each]);
  call(library, 'matmul', address, operands, [1, 1, 1, 0, 0, 0, 1, 0, 0]);
}

function readSlots(library, address) {
  const [m, n, db, tokens] = [4, 8, 16, 1];
  const parameters = [n * (m + n), db, db * (m + n), n * (m + n)].map((size) => [size, floats]);
  const operands = [[tokens * n * db, halves], ...parameters, [tokens * m * db, halves]];
  call(library, 'connection_step', address, operands, [m, n, db, tokens, 1e-5, 0, 1, 1, 0, 1e-5]);
}

function attend(library, address) {
  const operands = [...[64, 64, 64, 64].map((size) => [size, halves]), [1, floats]];
  call(library, 'causal_attention', address, operands, [1, 1, 1, 1, 1, 64]);
  const size = [64, halves];
  const one = [1, floats];
  const ofGradient = [size, size, size, size, size, one, size, size, size];
  call(library, 'causal_attention_grad', address, ofGradient, [1, 1, 1, 1, 1, 64]);
}

function secondError() {
  try {
    return void load();
  } catch (error) {
    return error.message.split('\n')[0];
  }
}

process.stdout.write(JSON.stringify(report));
