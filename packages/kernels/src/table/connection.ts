import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend, Operand } from '../native-backend';
import { nativeKernel, type NativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { lastOf, rowsOf } from './shapes';

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly eps: number;
}

interface Halves {
  readonly write: boolean;
  readonly read: boolean;
  readonly dynamic: boolean;
}

type Inputs = Readonly<Record<string, TensorInfo>>;

const parameterNames = {
  write: ['staticAlpha', 'staticBeta', 'normWeight', 'alphaFn', 'betaFn', 'alphaScale', 'betaScale'],
  read: ['nextStaticAlpha', 'nextNormWeight', 'nextAlphaFn', 'nextAlphaScale'],
};

/** The parameters of a step, in the order of the native function, and float32 as it takes them. */
function parametersOf(inputs: Inputs, { write, read, dynamic }: Halves, backend: NativeBackend): Operand[] {
  const names = [
    ...(write ? parameterNames.write.slice(0, dynamic ? undefined : 2) : []),
    ...(read ? parameterNames.read.slice(0, dynamic ? undefined : 1) : []),
  ];
  return names.map((name) => backend.stored(inputs[name] as TensorInfo, StorageType.f32));
}

/** m, n, db, tokens, eps, write, read, dynamic. */
function numbers(h: TensorInfo, { m, n, eps }: Sizes, { write, read, dynamic }: Halves): number[] {
  return [m, n, lastOf(h) / n, rowsOf(h), eps, +write, +read, +dynamic];
}

function forward(inputs: Inputs, sizes: Sizes, halves: Halves, backend: NativeBackend): TensorInfo[] {
  const { h, out } = inputs as { h: TensorInfo; out: TensorInfo };
  const type = backend.activationType;
  const states = halves.write ? [h, out] : [h];
  const stored = states.map((each) => backend.stored(each, type));
  const outputs = [
    ...(halves.write ? [backend.output(h.shape, type)] : []),
    ...(halves.read ? [backend.output(backboneShape(h, sizes), type)] : []),
  ];
  const operands: Operand[] = [...stored, ...parametersOf(inputs, halves, backend), ...outputs];
  backend.call('connection_step', operands, numbers(h, sizes, halves));
  return outputs;
}

function backward(inputs: Inputs, sizes: Sizes, halves: Halves, backend: NativeBackend): TensorInfo[] {
  const { h, out, hNext, dh, dx } = inputs as Record<'h' | 'out' | 'hNext' | 'dh' | 'dx', TensorInfo>;
  const type = backend.activationType;
  const { write, read } = halves;
  const before = write ? [h, out] : [h];
  const after = [...(write && read ? [hNext] : []), ...(write ? [dh] : []), ...(read ? [dx] : [])];
  const stored = [...before, ...after].map((each) => backend.stored(each, type));
  const parameters = parametersOf(inputs, halves, backend);
  const states = before.map(({ shape }) => backend.output(shape, type));
  const grads = parameters.map(({ shape }) => backend.output(shape));
  const operands = [...stored.slice(0, before.length), ...parameters, ...stored.slice(before.length)];
  backend.call('connection_step_grad', [...operands, ...states, ...grads], [...numbers(h, sizes, halves), +write]);
  return [...states, ...grads];
}

function backboneShape({ shape }: TensorInfo, { m, n }: Sizes): number[] {
  return [...shape.slice(0, -1), (m * (shape[shape.length - 1] as number)) / n];
}

function step(name: string, gradName: string, halves: Halves): NativeKernel[] {
  return [
    nativeKernel<string, Sizes>(name, ['connection_step', 'convert'], ({ inputs, attrs, backend }) =>
      forward(inputs, attrs, halves, backend),
    ),
    nativeKernel<string, Sizes>(gradName, ['connection_step_grad'], ({ inputs, attrs, backend }) =>
      backward(inputs, attrs, halves, backend),
    ),
  ];
}

const [both, readOnly, writeOnly] = [
  { write: true, read: true },
  { write: false, read: true },
  { write: true, read: false },
];

/** Generalized Hyper-Connections from sublayer to sublayer; width and depth connection apart run composed. */
export const connectionKernels: readonly NativeKernel[] = [true, false].flatMap((dynamic) => {
  const K = KernelName;
  return dynamic
    ? [
        ...step(K.ConnectionStep, K.ConnectionStepGrad, { ...both, dynamic }),
        ...step(K.ConnectionRead, K.ConnectionReadGrad, { ...readOnly, dynamic }),
        ...step(K.ConnectionWrite, K.ConnectionWriteGrad, { ...writeOnly, dynamic }),
      ]
    : [
        ...step(K.StaticConnectionStep, K.StaticConnectionStepGrad, { ...both, dynamic }),
        ...step(K.StaticConnectionRead, K.StaticConnectionReadGrad, { ...readOnly, dynamic }),
        ...step(K.StaticConnectionWrite, K.StaticConnectionWriteGrad, { ...writeOnly, dynamic }),
      ];
});
