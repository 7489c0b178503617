import { connectionCases } from './connection-cases';
import { expertCases } from './expert-cases';
import type { OpCase } from './op-case';
import { transformerCases } from './transformer-cases';

/** The one table: every operation of this package, for correctness, gradients and benchmarks on every backend. */
export const opCases: readonly OpCase[] = [...connectionCases, ...transformerCases, ...expertCases];
