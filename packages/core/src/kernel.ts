/**
 * How an operation of this project becomes a TensorFlow.js kernel.
 *
 * Every operation is one *named kernel*. A backend that registers the name runs its own (fused) code; for any other
 * backend the composed form below is registered under the same name the first time the operation runs there. The
 * gradient is registered once, by name, and calls the operation's gradient kernel, which a backend may fuse as well.
 * Layers never know which form ran; `tf.profile` shows the kernel's name in both cases.
 */
import {
  dispose,
  engine,
  getKernel,
  registerGradient,
  registerKernel,
  tidy,
  type KernelConfig,
  type NamedAttrMap,
  type NamedTensorInfoMap,
  type NamedTensorMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { gradientDepth } from './gradient-depth';
import { registerStandardGradients } from './standard-gradients';

export type TensorsOf<I extends string> = Record<I, Tensor>;

export interface KernelDefinition<I extends string, A extends object> {
  /** Registered name; a backend's own kernel is registered under the same one. */
  readonly name: string;
  /**
   * Input names, in the order in which they are saved for the gradient. Left out, the kernel takes any number of inputs,
   * which are a list for tfjs and are named 0, 1, …
   */
  readonly inputs?: readonly I[];
  /** The operation as standard tfjs ops. Runs inside a `tidy`, off the tape. */
  readonly composed: (inputs: TensorsOf<I>, attrs: A) => Tensor | Tensor[];
  readonly gradient?: KernelGradient<I, A>;
}

export interface KernelGradient<I extends string, A extends object> {
  /** Inputs that the gradient needs; left out, all of them. */
  readonly savedInputs?: readonly I[];
  /** Which outputs the gradient needs besides, by position. */
  readonly savedOutputs?: readonly boolean[];
  /**
   * Gradients of the inputs, given those of the outputs. Runs eagerly; usually one call of the `…Grad` kernel.
   * Inputs that cannot be differentiated (integer ids) are left out. `inputs`, of which those are there that are saved,
   * and `outputs` are freed behind it: a gradient must not be one of them.
   */
  readonly backward: (dys: Tensor[], inputs: TensorsOf<I>, outputs: Tensor[], attrs: A) => Partial<TensorsOf<I>>;
}

export type KernelCall<I extends string, A extends object> = (inputs: TensorsOf<I>, attrs: A) => Tensor[];

/** Declares an operation; the result runs it on the current backend and always returns a list of outputs. */
export function defineKernel<I extends string, A extends object>(def: KernelDefinition<I, A>): KernelCall<I, A> {
  if (def.gradient) registerKernelGradient(def, def.gradient);
  return (inputs, attrs) => {
    ensureComposed(def);
    // Of an unknown number of inputs tfjs saves all, if they are an array.
    const given = (def.inputs ? inputs : Object.values(inputs)) as unknown as NamedTensorMap;
    const out = engine().runKernel(def.name, given, attrs as unknown as NamedAttrMap);
    return (Array.isArray(out) ? out : [out]) as Tensor[];
  };
}

/** True when the current backend brings its own code for the kernel, rather than the composed form. */
export function hasNativeKernel(name: string): boolean {
  const config = getKernel(name, engine().backendName);
  return config !== undefined && config !== null && !composedKernels.has(config);
}

const composedKernels = new WeakSet<KernelConfig>();

function ensureComposed<I extends string, A extends object>(def: KernelDefinition<I, A>): void {
  // Touching `backend` initialises the default one, so that `backendName` is set before the first operation.
  void engine().backend;
  const backendName = engine().backendName;
  if (getKernel(def.name, backendName)) return;
  const config: KernelConfig = {
    kernelName: def.name,
    backendName,
    kernelFunc: ({ inputs, attrs }) =>
      tidy(() => def.composed(asTensors<I>(inputs), attrs as unknown as A)) as Tensor | Tensor[],
  };
  composedKernels.add(config);
  registerKernel(config);
}

function asTensors<I extends string>(inputs: NamedTensorInfoMap): TensorsOf<I> {
  // The engine always hands kernels the Tensor objects themselves.
  return inputs as unknown as TensorsOf<I>;
}

/**
 * Whether the tape is run backwards for the last time, so that nobody asks again for what an operation has saved. tfjs
 * itself keeps all of it to the end, beside all gradients: twice the memory, half of it for nothing.
 */
function isOutermostBackward(): boolean {
  return gradientDepth() === 0;
}

function registerKernelGradient<I extends string, A extends object>(
  def: KernelDefinition<I, A>,
  gradient: KernelGradient<I, A>,
): void {
  registerStandardGradients();
  const savedOutputs = gradient.savedOutputs ?? [];
  const savedInputs = gradient.savedInputs ?? def.inputs;
  registerGradient({
    kernelName: def.name,
    ...(savedInputs ? { inputsToSave: [...savedInputs] } : { saveAllInputs: true }),
    outputsToSave: [...savedOutputs],
    gradFunc: (dy, saved, attrs) => {
      const count = saved.length - savedOutputs.filter(Boolean).length;
      const names = savedInputs ?? Array.from({ length: count }, (_, i) => String(i));
      const inputs = Object.fromEntries(names.map((name, i) => [name, saved[i]])) as TensorsOf<I>;
      const dys = Array.isArray(dy) ? dy : [dy];
      const outputs = saved.slice(count);
      const grads = gradient.backward(dys as Tensor[], inputs, outputs, attrs as unknown as A);
      if (isOutermostBackward()) dispose(saved);
      return Object.fromEntries(
        Object.entries(grads).map(([name, grad]) => [name, () => grad as Tensor]),
      ) as unknown as Record<string, () => Tensor>;
    },
  });
}
