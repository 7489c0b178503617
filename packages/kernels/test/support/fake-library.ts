import type { NativeBlock } from '../../src/index';

/** A system with so many bytes: hands out ArrayBuffers with made-up addresses, and is told when it gets some back. */
export class FakeSystem {
  readonly asked: number[] = [];
  readonly freed: number[] = [];
  private readonly buffers = new Map<number, ArrayBuffer>();
  private nextAddress = 4096;

  constructor(public bytesLeft = Number.POSITIVE_INFINITY) {}

  allocate(bytes: number): NativeBlock | null {
    this.asked.push(bytes);
    if (bytes > this.bytesLeft) return null;
    this.bytesLeft -= bytes;
    const block = { buffer: new ArrayBuffer(bytes), address: this.nextAddress };
    this.buffers.set(block.address, block.buffer);
    this.nextAddress += 2 ** 32;
    return block;
  }

  free(buffer: ArrayBuffer, address: number): void {
    if (this.buffers.get(address) !== buffer) throw new Error(`there is no block at ${address}`);
    this.buffers.delete(address);
    this.bytesLeft += buffer.byteLength;
    this.freed.push(buffer.byteLength);
  }

  /** The memory behind an address, as a native kernel sees it. */
  bufferAt(address: number): ArrayBuffer {
    const buffer = this.buffers.get(address);
    if (!buffer) throw new Error(`nothing was allocated at ${address}`);
    return buffer;
  }
}

/** A system whose memory is a device's: JavaScript has an empty buffer for each block, and copies. */
export class FakeDevice {
  readonly copies: ('read' | 'write')[] = [];
  private readonly host = new FakeSystem();

  allocate(bytes: number): NativeBlock | null {
    const block = this.host.allocate(bytes);
    return block && { buffer: new ArrayBuffer(0), address: block.address };
  }

  free(_buffer: ArrayBuffer, address: number): void {
    this.host.free(this.bufferAt(address), address);
  }

  read(address: number, into: Uint8Array): void {
    this.copies.push('read');
    into.set(new Uint8Array(this.bufferAt(address), 0, into.length));
  }

  write(address: number, from: Uint8Array): void {
    this.copies.push('write');
    new Uint8Array(this.bufferAt(address)).set(from);
  }

  bufferAt(address: number): ArrayBuffer {
    return this.host.bufferAt(address);
  }
}

/** A system of any size that hands out no memory: only what was asked for, and what came back. */
export class FakeLedger {
  readonly asked: number[] = [];
  readonly freed: number[] = [];
  private readonly sizes = new Map<number, number>();

  allocate(bytes: number): NativeBlock {
    this.asked.push(bytes);
    const address = this.asked.length * 64;
    this.sizes.set(address, bytes);
    return { buffer: new ArrayBuffer(0), address };
  }

  free(_buffer: ArrayBuffer, address: number): void {
    this.freed.push(this.sizes.get(address) ?? NaN);
    this.sizes.delete(address);
  }
}

export class FakeDeviceLedger extends FakeLedger {
  readonly read = (): void => undefined;
}
