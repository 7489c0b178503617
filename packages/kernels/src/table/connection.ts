import { connectionKernelNames, connectionKinds, type ConnectionKind } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend, Operand } from '../native-backend';
import { nativeKernel, type NativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { lastOf, rowsOf } from './shapes';

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly eps: number;
  readonly normEps?: number;
}

type Inputs = Readonly<Record<string, TensorInfo>>;

const parameterNames = {
  write: ['staticAlpha', 'staticBeta', 'normWeight', 'alphaFn', 'betaFn', 'alphaScale', 'betaScale'],
  read: ['nextStaticAlpha', 'nextNormWeight', 'nextAlphaFn', 'nextAlphaScale'],
};

/** The parameters of a step, in the order of the native function, and float32 as it takes them. */
function parametersOf(inputs: Inputs, kind: ConnectionKind, backend: NativeBackend): Operand[] {
  const { write, read, dynamic, normed } = kind;
  const names = [
    ...(write ? parameterNames.write.slice(0, dynamic ? undefined : 2) : []),
    ...(read ? parameterNames.read.slice(0, dynamic ? undefined : 1) : []),
    ...(normed ? ['sublayerNorm'] : []),
  ];
  return names.map((name) => backend.stored(inputs[name] as TensorInfo, StorageType.f32));
}

/** m, n, db, tokens, eps, write, read, dynamic, normed, normEps. */
function numbers(h: TensorInfo, { m, n, eps, normEps = 0 }: Sizes, kind: ConnectionKind): number[] {
  const { write, read, dynamic, normed } = kind;
  return [m, n, lastOf(h) / n, rowsOf(h), eps, +write, +read, +dynamic, +normed, normEps];
}

function forward(inputs: Inputs, sizes: Sizes, kind: ConnectionKind, backend: NativeBackend): TensorInfo[] {
  const { h, out } = inputs as { h: TensorInfo; out: TensorInfo };
  const type = backend.activationType;
  const states = kind.write ? [h, out] : [h];
  const stored = states.map((each) => backend.stored(each, type));
  const outputs = [
    ...(kind.write ? [backend.output(h.shape, type)] : []),
    ...(kind.read ? [backend.output(backboneShape(h, sizes), type)] : []),
  ];
  const operands: Operand[] = [...stored, ...parametersOf(inputs, kind, backend), ...outputs];
  backend.call('connection_step', operands, numbers(h, sizes, kind));
  return kind.passes ? [backend.shared(h), ...outputs] : outputs;
}

function backward(inputs: Inputs, sizes: Sizes, kind: ConnectionKind, backend: NativeBackend): TensorInfo[] {
  const { h, out, hNext, dh, dx } = inputs as Record<'h' | 'out' | 'hNext' | 'dh' | 'dx', TensorInfo>;
  const type = backend.activationType;
  const { write, read, passes = false } = kind;
  const before = write ? [h, out] : [h];
  const after = [...(write && read ? [hNext] : []), ...(write || passes ? [dh] : []), ...(read ? [dx] : [])];
  const stored = [...before, ...after].map((each) => backend.stored(each, type));
  const parameters = parametersOf(inputs, kind, backend);
  const states = before.map(({ shape }) => backend.output(shape, type));
  const grads = parameters.map(({ shape }) => backend.output(shape));
  const operands = [...stored.slice(0, before.length), ...parameters, ...stored.slice(before.length)];
  backend.call(
    'connection_step_grad',
    [...operands, ...states, ...grads],
    [...numbers(h, sizes, kind), +(write || passes)],
  );
  return [...states, ...grads];
}

function backboneShape({ shape }: TensorInfo, { m, n }: Sizes): number[] {
  return [...shape.slice(0, -1), (m * (shape[shape.length - 1] as number)) / n];
}

function step(kind: ConnectionKind): NativeKernel[] {
  const [name, gradName] = connectionKernelNames(kind);
  return [
    nativeKernel<string, Sizes>(name, ['connection_step', 'convert'], ({ inputs, attrs, backend }) =>
      forward(inputs, attrs, kind, backend),
    ),
    nativeKernel<string, Sizes>(gradName, ['connection_step_grad'], ({ inputs, attrs, backend }) =>
      backward(inputs, attrs, kind, backend),
    ),
  ];
}

/** Generalized Hyper-Connections from sublayer to sublayer; width and depth connection apart run composed. */
export const connectionKernels: readonly NativeKernel[] = connectionKinds.flatMap(step);
