/**
 * Under bf16 a backend stores activations in half the bytes. Inputs made from JavaScript numbers are float32 whatever
 * the precision, so those that are activations in a model are brought into the form in which they would arrive there.
 */
import { engine, reshape, tidy, range, type Tensor } from '@tensorflow/tfjs-core';
import { embeddingLookup } from '@vwn/core';
import type { CaseInputs } from '@vwn/core/testing';

/** Inputs of cases that sublayers hand on; all others are parameters, coefficients or ids. */
const activationNames = new Set(['x', 'h', 'out', 'carry', 'q', 'k', 'v', 'gate', 'up', 'hidden', 'embed']);

interface StoringBackend {
  /** Storage of a tensor, and of activations; only backends with several precisions have these. */
  typeOf(tensor: Tensor): number;
  readonly activationType: number;
}

/** The inputs as a model would hand them over. Takes the given ones: what it replaces is disposed of. */
export function storedAsInModel(inputs: CaseInputs): CaseInputs {
  const stored = Object.entries(inputs).map(([name, value]) => {
    return [name, activationNames.has(name) ? storedAsActivation(value) : value] as const;
  });
  return Object.fromEntries(stored);
}

/** Upstream gradients arrive stored as the outputs are. Takes the given ones. */
export function storedLike(outputs: readonly Tensor[], gradients: readonly Tensor[]): Tensor[] {
  return gradients.map((each, i) => (isHalf(outputs[i] as Tensor) ? storedAsActivation(each) : each));
}

export function storedBytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((total, each) => total + each.size * bytesPerElement(each), 0);
}

function bytesPerElement(tensor: Tensor): number {
  if (isHalf(tensor)) return 2;
  return tensor.dtype === 'bool' ? 1 : 4;
}

/** An embedding's rows are activations, so looking up all rows in order copies a tensor into that storage. */
function storedAsActivation(value: Tensor): Tensor {
  const backend = engine().backend as unknown as Partial<StoringBackend>;
  const width = value.shape.at(-1) ?? 0;
  if (!backend.typeOf || value.size === 0 || backend.typeOf(value) === backend.activationType) return value;
  const stored = tidy(() => {
    const rows = value.size / width;
    return reshape(embeddingLookup(reshape(value, [rows, width]), range(0, rows, 1, 'int32')), value.shape);
  });
  value.dispose();
  return stored;
}

function isHalf(tensor: Tensor): boolean {
  const backend = engine().backend as unknown as Partial<StoringBackend> & { precision?: string };
  return backend.precision === 'bf16' && backend.typeOf?.(tensor) === backend.activationType;
}
