import { customGrad, dispose, engine, grads, reshape, scalar, setBackend, slice, tidy } from '@tensorflow/tfjs-core';
import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { Rng, setPrecision, type BackendInfo, type Precision } from '@vwn/core';
import { upstreamOf, type CaseInputs, type OpCase } from '@vwn/core/testing';
import { useBackend } from '../backends';
import type { Contender, Direction, PreparedCase } from './contender';
import { storedAsInModel, storedBytes, storedLike } from './storage';

/** Milliseconds since some moment. */
export type Clock = () => number;

/**
 * A backend as a contender.
 * @throws BackendError when it cannot run here or does not have the precision
 */
export async function openBackend(
  name: string | undefined,
  precision: Precision,
  clock: Clock = () => performance.now(),
): Promise<Contender> {
  const info = await useBackend(name);
  setPrecision(precision);
  return backendContender(info, clock);
}

function backendContender({ name, details }: BackendInfo, clock: Clock): Contender {
  const backend = engine().backend as { isUsingGpuDevice?: boolean };
  const isSynchronous = ['cpu', 'wasm', 'vwn-cpu'].includes(name) || backend.isUsingGpuDevice === false;
  return {
    name,
    details,
    onProcessor: isSynchronous,
    prepare: async (opCase) => {
      await setBackend(name);
      return prepare(opCase, { backend: name, clock, isSynchronous });
    },
    close: () => undefined,
  };
}

interface Setting {
  readonly backend: string;
  readonly clock: Clock;
  readonly isSynchronous: boolean;
}

function prepare(opCase: OpCase, setting: Setting): PreparedCase {
  const rng = Rng.fromSeed(0).fork(opCase.name);
  const inputs = storedAsInModel(opCase.inputs(rng.fork('inputs')));
  const outputs = tidy(() => opCase.run(inputs));
  const upstream = storedLike(outputs, upstreamOf(outputs, rng.fork('upstream')));
  const bytes = storedBytes([...Object.values(inputs), ...outputs]);
  // Some operations hand an input through as an output.
  dispose(outputs.filter((each) => !Object.values(inputs).includes(each)));
  const run = { ...setting, opCase, inputs, upstream };
  return {
    bytes,
    time: async (direction: Direction, calls: number) => {
      await setBackend(setting.backend);
      return direction === 'forward' ? timeForward(run, calls) : timeBackward(run, calls);
    },
    dispose: () => dispose([...Object.values(inputs), ...upstream]),
  };
}

interface Run extends Setting {
  readonly opCase: OpCase;
  readonly inputs: CaseInputs;
  readonly upstream: readonly Tensor[];
}

function timeForward({ opCase, inputs, clock, isSynchronous }: Run, calls: number): number {
  const start = clock();
  for (let call = 1; call <= calls; call++)
    tidy(() => {
      const outputs = opCase.run(inputs);
      if (call === calls) settle(outputs, isSynchronous);
    });
  return (clock() - start) / calls;
}

function timeBackward({ opCase, inputs, upstream, clock, isSynchronous }: Run, calls: number): number {
  const names = opCase.differentiable;
  const at = names.map((name) => inputs[name] as Tensor);
  let [total, start] = [0, 0];
  const objective = (...values: Tensor[]) => {
    const outputs = opCase.run({
      ...inputs,
      ...Object.fromEntries(names.map((name, i) => [name, values[i] as Tensor])),
    });
    const joined = withUpstream(outputs, upstream);
    settle(outputs, isSynchronous);
    start = clock();
    return joined;
  };
  for (let call = 0; call < calls; call++)
    tidy(() => {
      settle(grads(objective)(at), isSynchronous);
      total += clock() - start;
    });
  return total / calls;
}

/**
 * A scalar whose gradient with respect to the outputs is `upstream`, with no arithmetic of its own that would be timed
 * too. Clones, since the tape may dispose of what it is given.
 */
function withUpstream(outputs: readonly Tensor[], upstream: readonly Tensor[]): Scalar {
  const joined = customGrad(() => ({ value: scalar(0), gradFunc: () => upstream.map((each) => each.clone()) }));
  return joined(...outputs) as Scalar;
}

/** Reading one element waits for the work that a backend has only queued. */
function settle(tensors: readonly Tensor[], isSynchronous: boolean): void {
  const last = tensors.at(-1);
  if (isSynchronous || !last) return;
  if (last.size === 0) last.dataSync();
  else slice(reshape(last, [-1]), [0], [1]).dataSync();
}
