import type { OpCase } from '@vwn/core/testing';

/** Something that can run cases of the table: a TensorFlow.js backend, or a peer outside. */
export interface Contender {
  readonly name: string;
  /** Facts for the result file: package, device, versions. */
  readonly details: Readonly<Record<string, string>>;
  /** Whether it runs on this machine's processor, so that the processor's peaks are its limit. */
  readonly onProcessor: boolean;
  /** Undefined for an operation that it does not have. */
  prepare(opCase: OpCase): Promise<PreparedCase | undefined>;
  close(): void;
}

export type Direction = 'forward' | 'backward';

/** A case with its inputs in place. */
export interface PreparedCase {
  /** Of all inputs and outputs, once each, in the precision in which they are stored. */
  readonly bytes: number;
  /** Mean milliseconds of so many calls. The forward pass that every backward one needs is not counted in it. */
  time(direction: Direction, calls: number): Promise<number>;
  dispose(): void;
}
