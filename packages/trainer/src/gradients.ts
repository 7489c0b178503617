import { unreachedExperts, type LanguageModel, type TokenIds } from '@vwn/layers';
import { dispose, keep, variableGrads, type Scalar, type Tensor } from '@tensorflow/tfjs-core';

/** Losses of one batch, and their gradients until these are released. */
export interface Gradients {
  /** Total, next-token loss, next-2-token loss, …. */
  readonly losses: readonly number[];
  /** By parameter name; without those of parameters that no token has reached. */
  readonly grads: ReadonlyMap<string, Tensor>;
  release(): void;
}

/** What one forward and backward pass leaves, all of it kept. */
export interface Passes {
  readonly losses: readonly Scalar[];
  readonly expertShares: Tensor | undefined;
  readonly grads: ReadonlyMap<string, Tensor>;
}

export function gradientsOf(model: LanguageModel, batch: TokenIds): Gradients {
  const passes = runPasses(model, batch);
  const gradients = readPasses(passes);
  const { losses, expertShares } = passes;
  dispose([...losses, ...(expertShares ? [expertShares] : [])]);
  return { ...gradients, release: () => dispose([...passes.grads.values()]) };
}

export function runPasses(model: LanguageModel, batch: TokenIds): Passes {
  const variables = model.trainableVariables();
  let parts: readonly Scalar[] = [];
  let expertShares: Tensor | undefined;
  const { value, grads } = variableGrads(
    () => {
      const loss = model.loss(batch);
      parts = loss.losses.map((each) => keep(each));
      expertShares = loss.expertShares && keep(loss.expertShares);
      return loss.total;
    },
    variables.map(([, variable]) => variable),
  );
  const named = variables.flatMap(([name, variable]) => {
    const grad = grads[variable.name];
    return grad ? [[name, keep(grad)] as const] : [];
  });
  return { losses: [keep(value), ...parts], expertShares, grads: new Map(named) };
}

export function freePasses({ losses, expertShares, grads }: Passes): void {
  dispose([...losses, ...(expertShares ? [expertShares] : []), ...grads.values()]);
}

/** Reads the losses back, and which parameters were reached. */
export function readPasses({ losses, expertShares, grads }: Passes): Omit<Gradients, 'release'> {
  const values = losses.map((each) => each.dataSync()[0] as number);
  if (!expertShares) return { losses: values, grads };
  const unreached = unreachedExperts([...grads.keys()], expertShares);
  return { losses: values, grads: new Map([...grads].filter(([name]) => !unreached.has(name))) };
}
