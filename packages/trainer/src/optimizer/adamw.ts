import {
  adamWAll,
  adamWByFactors,
  adamWFactors,
  CheckpointError,
  ownMemory,
  requireNotNegative,
  requireShare,
  type AdamWTensors,
} from '@vwn/core';
import type { StoredTensor } from '@vwn/layers';
import {
  dispose,
  tensor,
  tidy,
  variable,
  zerosLike,
  type Scalar,
  type Tensor,
  type Tensor2D,
  type Variable,
} from '@tensorflow/tfjs-core';
import { decays } from './decay';

export interface OptimizerOptions {
  readonly adam_beta1: number;
  readonly adam_beta2: number;
  readonly adam_epsilon: number;
  readonly weight_decay: number;
}

type NamedVariables = readonly (readonly [string, Variable])[];

/** First and second moment of one parameter, and the updates that it has had. */
interface Moments {
  readonly m: Variable;
  readonly v: Variable;
  step: number;
}

/** AdamW over named parameters, its moments kept by name. */
export class AdamWOptimizer {
  private readonly moments = new Map<string, Moments>();

  /** @throws ConfigError for options that would make every weight no number */
  constructor(private readonly options: OptimizerOptions) {
    requireShare('AdamWOptimizer', 'adam_beta1', options.adam_beta1);
    requireShare('AdamWOptimizer', 'adam_beta2', options.adam_beta2);
    requireNotNegative('AdamWOptimizer', 'adam_epsilon', options.adam_epsilon);
    requireNotNegative('AdamWOptimizer', 'weight_decay', options.weight_decay);
  }

  /**
   * Updates every parameter that has a gradient; one without (an expert that no token was routed to) is left as it is,
   * as in PyTorch. A gradScale of NaN leaves all as they are, and still counts.
   */
  update(variables: NamedVariables, grads: ReadonlyMap<string, Tensor>, lr: number, gradScale: number | Scalar): void {
    const updated = variables.filter(([name]) => grads.has(name));
    const parameters = updated.map(([name, param]) => ({
      ...this.tensorsOf(name, param, grads),
      weightDecay: this.decayOf(name, param),
      step: this.momentsOf(name, param).step + 1,
    }));
    adamWAll(parameters, { ...this.betas, lr, gradScale });
    this.count(updated);
  }

  /**
   * For captures: {@link update} with what changes from step to step in tensors, `factors` [2, 3] from {@link factors}.
   * Counts nothing.
   */
  updateBy(
    variables: NamedVariables,
    grads: ReadonlyMap<string, Tensor>,
    tensors: { factors: Tensor2D; gradScale: Scalar },
  ): void {
    const parameters = variables
      .filter(([name]) => grads.has(name))
      .map(([name, param]) => ({
        ...this.tensorsOf(name, param, grads),
        row: this.decayOf(name, param) === 0 ? 1 : 0,
      }));
    adamWByFactors(parameters, { ...this.betas, ...tensors });
  }

  /** Of the next update of parameters that have had `step` of them: of those that decay, and of the others. */
  factors(lr: number, step: number): number[] {
    const { beta1, beta2 } = this.betas;
    return [this.options.weight_decay, 0].flatMap((weightDecay) =>
      adamWFactors({ lr, beta1, beta2, weightDecay, step: step + 1 }),
    );
  }

  /** Makes moments where there are none yet. @returns all that an update writes, each with memory of its own */
  prepare(variables: NamedVariables): Variable[] {
    const written = variables.flatMap(([name, param]) => {
      const { m, v } = this.momentsOf(name, param);
      return [param, m, v];
    });
    ownMemory(written);
    return written;
  }

  /** Updates that all of these have had alike; undefined where some had more than others. */
  commonStep(variables: NamedVariables): number | undefined {
    const steps = new Set(variables.map(([name]) => this.moments.get(name)?.step ?? 0));
    return steps.size === 1 ? [...steps][0] : undefined;
  }

  /** Notes that these have been updated. */
  count(variables: NamedVariables): void {
    for (const [name, param] of variables) this.momentsOf(name, param).step++;
  }

  private get betas() {
    const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: eps } = this.options;
    return { beta1, beta2, eps };
  }

  private decayOf(name: string, { rank }: Variable): number {
    return decays(name, rank) ? this.options.weight_decay : 0;
  }

  private tensorsOf(name: string, param: Variable, grads: ReadonlyMap<string, Tensor>): AdamWTensors {
    const { m, v } = this.momentsOf(name, param);
    return { param, grad: grads.get(name) as Tensor, m, v };
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
  restore(state: ReadonlyMap<string, StoredTensor>, variables: NamedVariables, source: string): void {
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
