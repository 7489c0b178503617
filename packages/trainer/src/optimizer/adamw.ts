import { adamWAll, CheckpointError, type AdamWParameter } from '@vwn/core';
import type { StoredTensor } from '@vwn/layers';
import { dispose, tensor, tidy, variable, zerosLike, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { decays } from './decay';

export interface OptimizerOptions {
  readonly adam_beta1: number;
  readonly adam_beta2: number;
  readonly adam_epsilon: number;
  readonly weight_decay: number;
}

/** First and second moment of one parameter, and the updates that it has had. */
interface Moments {
  readonly m: Variable;
  readonly v: Variable;
  step: number;
}

/** AdamW over named parameters, its moments kept by name. */
export class AdamWOptimizer {
  private readonly moments = new Map<string, Moments>();

  constructor(private readonly options: OptimizerOptions) {}

  /**
   * Updates every parameter that has a gradient; one without (an expert that no token was routed to) is left as it is,
   * as in PyTorch.
   */
  update(
    variables: readonly (readonly [string, Variable])[],
    grads: ReadonlyMap<string, Tensor>,
    lr: number,
    gradScale: number,
  ): void {
    const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: eps, weight_decay } = this.options;
    const parameters: AdamWParameter[] = [];
    for (const [name, param] of variables) {
      const grad = grads.get(name);
      if (!grad) continue;
      const moments = this.momentsOf(name, param);
      const weightDecay = decays(name, param.rank) ? weight_decay : 0;
      parameters.push({ param, grad, ...moments, weightDecay, step: ++moments.step });
    }
    adamWAll(parameters, { lr, beta1, beta2, eps, gradScale });
  }

  private momentsOf(name: string, param: Variable): Moments {
    const known = this.moments.get(name);
    if (known) return known;
    const zeros = () => tidy(() => variable(zerosLike(param), false));
    const moments = { m: zeros(), v: zeros(), step: 0 };
    this.moments.set(name, moments);
    return moments;
  }

  /** Moments as `<parameter>.exp_avg` and `.exp_avg_sq`, PyTorch's names, and the updates each parameter has had. */
  async state(): Promise<[string, StoredTensor][]> {
    const state: [string, StoredTensor][] = [];
    for (const [name, { m, v, step }] of this.moments) {
      state.push([`${name}.exp_avg`, { shape: m.shape, values: (await m.data()) as Float32Array }]);
      state.push([`${name}.exp_avg_sq`, { shape: v.shape, values: (await v.data()) as Float32Array }]);
      state.push([`${name}.step`, { shape: [], values: Float32Array.of(step) }]);
    }
    return state;
  }

  /** @throws CheckpointError when the state does not belong to these parameters */
  restore(
    state: ReadonlyMap<string, StoredTensor>,
    variables: readonly (readonly [string, Variable])[],
    source: string,
  ): void {
    for (const [name, { shape }] of variables) {
      const [m, v, step] = ['exp_avg', 'exp_avg_sq', 'step'].map((part) => state.get(`${name}.${part}`));
      if (!m && !v && !step) continue;
      if (!m || !v || !step || String(m.shape) !== String(shape) || String(v.shape) !== String(shape))
        throw new CheckpointError(`${source} does not hold the optimizer state of ${name}`, {
          expected: `two tensors [${shape.join(', ')}] and a step`,
          hint: 'Start from the weights alone with --init, or resume an older checkpoint',
        });
      this.moments.set(name, {
        m: tidy(() => variable(tensor(m.values, [...m.shape]), false)),
        v: tidy(() => variable(tensor(v.values, [...v.shape]), false)),
        step: step.values[0] as number,
      });
    }
  }

  dispose(): void {
    for (const { m, v } of this.moments.values()) dispose([m, v]);
    this.moments.clear();
  }
}
