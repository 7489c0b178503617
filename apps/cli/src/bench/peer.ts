/** PyTorch as a contender: one Python process, which answers a line of JSON with a line of JSON. */
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import { BackendError, Rng, type Precision } from '@vwn/core';
import type { CaseInputs, OpCase } from '@vwn/core/testing';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Contender, Direction, PreparedCase } from './contender';
import { packageFolder } from './machine';

interface Answer {
  /** When it starts: its version, or why there is no torch. */
  readonly torch?: string;
  readonly threads?: number;
  readonly missing?: string;
  /** To a case: bytes of its inputs and outputs, absent when it does not know the operation. */
  readonly bytes?: number;
  /** To a timing. */
  readonly ms?: number;
}

/** Where PyTorch is to compute: on what the backend that it is compared with uses. */
export type PeerDevice = 'cpu' | 'cuda';

/** Starts the peer, or says why it cannot be had: it is optional, so that is no error. */
export async function openTorchPeer(
  python: string,
  precision: Precision,
  device: PeerDevice = 'cpu',
): Promise<Contender | { reason: string }> {
  const child = spawn(python, ['-u', join(packageFolder(), 'assets', 'bench_peer.py'), device], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const peer = new PeerProcess(child);
  let hello: Answer;
  try {
    hello = await peer.next();
  } catch (error) {
    return { reason: `${python} cannot be run (${(error as BackendError).got ?? String(error)})` };
  }
  if (hello.torch === undefined) {
    peer.close();
    return { reason: `${python} cannot import torch (${hello.missing ?? 'no version'})` };
  }
  return {
    name: 'torch',
    details: { torch: hello.torch, ...(device === 'cpu' ? { threads: String(hello.threads) } : { device }) },
    onProcessor: device === 'cpu',
    prepare: (opCase) => prepare(peer, opCase, precision),
    close: () => peer.close(),
  };
}

/** The peer makes random inputs of its own in the shapes of the case. */
async function prepare(peer: PeerProcess, opCase: OpCase, precision: Precision): Promise<PreparedCase | undefined> {
  const inputs: CaseInputs = opCase.inputs(Rng.fromSeed(0));
  const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
  dispose(Object.values<Tensor>(inputs));
  const { bytes } = await peer.ask({ do: 'prepare', op: opCase.op, shapes, precision });
  if (bytes === undefined) return undefined;
  return {
    bytes,
    time: async (direction: Direction, calls: number) => (await peer.ask({ do: direction, calls })).ms as number,
    dispose: () => undefined, // the next case takes its place
  };
}

class PeerProcess {
  private readonly lines: AsyncIterator<string>;
  private readonly failure: Promise<Error>;
  private errors = '';

  constructor(private readonly child: ChildProcess) {
    this.failure = new Promise((resolve) => child.once('error', resolve));
    child.stdin?.on('error', () => undefined); // told by the answer that does not come
    child.stderr?.on('data', (chunk: Buffer) => (this.errors = (this.errors + chunk.toString()).slice(-4000)));
    this.lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async ask(request: object): Promise<Answer> {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    return this.next();
  }

  /** @throws BackendError with the last line that the process wrote about its end */
  async next(): Promise<Answer> {
    const line = await Promise.race([this.lines.next(), this.failure]);
    if (!(line instanceof Error) && !line.done) return JSON.parse(line.value) as Answer;
    const last = line instanceof Error ? line.message : this.errors.trim().split('\n').at(-1);
    throw new BackendError('the peer torch stopped', {
      got: last || 'no message',
      hint: 'Leave out --peer, or choose another Python with --python',
    });
  }

  close(): void {
    this.child.stdin?.end();
    this.child.kill();
  }
}
