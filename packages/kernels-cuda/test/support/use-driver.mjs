/**
 * Loads the addon for GPUs on the driver that VWN_CUDA_DRIVER names; writes, fills and reads a block, fills it twice by a
 * recording, and asks for attention of one query in bf16; prints JSON.
 */
import { createRequire } from 'node:module';

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

function attend(library, address) {
  const [halves, floats] = [1, 0];
  const operands = [64, 64, 64, 64].flatMap((size) => [address, size, halves]);
  const index = library.functions.indexOf('causal_attention');
  library.arguments.set([index, 5, 6, ...operands, address, 1, floats, 1, 1, 1, 1, 1, 64]);
  library.run();
}

function secondError() {
  try {
    return void load();
  } catch (error) {
    return error.message.split('\n')[0];
  }
}

process.stdout.write(JSON.stringify(report));
