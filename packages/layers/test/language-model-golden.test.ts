import { adamW, globalNorm, parseModelConfig } from '@vwn/core';
import { goldenTolerance, maxRelativeError } from '@vwn/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeOnBackends } from '../../core/test/support/backends';
import { readFixture } from '../../core/test/support/safetensors';
import { LanguageModel, unreachedExperts } from '../src/index';

const folder = new URL('./fixtures/golden/lm/', import.meta.url).pathname;

interface Expected {
  readonly loss: number;
  readonly losses: readonly number[];
  readonly grad_norm_per_tensor: Record<string, number>;
  readonly optimizer: {
    lr: number;
    beta1: number;
    beta2: number;
    eps: number;
    weight_decay: number;
    clip_norm: number;
  };
  readonly trajectory: readonly { loss: number; grad_norm: number }[];
}

function open(name: string) {
  const config = parseModelConfig({ ...readJson(`${name}/config.json`), router_aux_loss_coef: 0 }, name);
  const values = readFixture(`${folder}${name}/model.safetensors`).tensors as Map<
    string,
    { shape: number[]; values: Float32Array }
  >;
  const { tensors } = readFixture(`${folder}${name}/expected.safetensors`);
  const stored = tensors.get('ids') as { shape: number[]; values: Int32Array };
  const ids = tf.tensor(stored.values, stored.shape, 'int32');
  return {
    config,
    model: new LanguageModel(config, { values }),
    tensors,
    ids,
    expected: readJson(`${name}/expected.json`) as Expected,
  };
}

function readJson(file: string) {
  return JSON.parse(readFileSync(folder + file, 'utf8'));
}

/** The i-th batch of ids [8, B, T']. */
function batch(ids: tf.Tensor, i: number): tf.Tensor {
  const [, B = 0, T = 0] = ids.shape;
  return tf.reshape(tf.slice(ids, [i, 0, 0], [1, B, T]), [B, T]);
}

function lossAndGradients(model: LanguageModel, ids: tf.Tensor) {
  const variables = model.trainableVariables();
  const losses: number[] = [];
  let unreached = new Set<string>();
  const { value, grads } = tf.variableGrads(
    () => {
      const loss = model.loss(ids);
      const names = variables.map(([name]) => name);
      if (loss.expertShares) unreached = unreachedExperts(names, loss.expertShares);
      losses.push(...loss.losses.map((each) => each.dataSync()[0] as number));
      return loss.total;
    },
    variables.map(([, variable]) => variable),
  );
  // An expert that no token was routed to has no update, and in PyTorch no gradient.
  const reached = variables.filter(([name, variable]) => grads[variable.name] != null && !unreached.has(name));
  const byName = new Map(reached.map(([name, variable]) => [name, grads[variable.name] as tf.Tensor]));
  return { loss: value.dataSync()[0] as number, losses, grads: byName };
}

describeOnBackends('golden language models', () => {
  const names = readdirSync(folder);

  it.each(names)('%s: logits are met', (name) => {
    const { model, tensors, ids } = open(name);
    const { values } = tensors.get('logits') as { values: Float32Array };
    const first = tf.slice(batch(ids, 0), [0, 0], [3, 10]);
    expect(maxRelativeError(model.logits(first).dataSync(), values)).toBeLessThan(goldenTolerance.forward);
    model.dispose();
  });

  it.each(names)('%s: losses and every gradient by name are met', (name) => {
    const { model, tensors, ids, expected } = open(name);
    const { loss, losses, grads } = lossAndGradients(model, batch(ids, 0));
    expect(Math.abs(loss - expected.loss)).toBeLessThan(goldenTolerance.trajectoryLoss);
    expected.losses.forEach((value, i) => expect(Math.abs((losses[i] as number) - value)).toBeLessThan(1e-4));
    const golden = [...tensors.keys()].filter((key) => key.startsWith('grad.')).map((key) => key.slice('grad.'.length));
    expect([...grads.keys()].sort()).toEqual(golden.sort());
    for (const [parameter, grad] of grads) {
      const { values } = tensors.get(`grad.${parameter}`) as { values: Float32Array };
      expect(maxRelativeError(grad.dataSync(), values), parameter).toBeLessThan(goldenTolerance.gradient);
    }
    model.dispose();
  });

  it.each(names)('%s: the loss trajectory of eight AdamW steps is met', (name) => {
    const { model, ids, expected } = open(name);
    const { lr, beta1, beta2, eps, weight_decay, clip_norm } = expected.optimizer;
    const moments = new Map<string, { m: tf.Tensor; v: tf.Tensor }>();
    expected.trajectory.forEach((golden, i) => {
      const { loss, grads } = lossAndGradients(model, batch(ids, i));
      const norm = globalNorm([...grads.values()]).dataSync()[0] as number;
      expect(Math.abs(loss - golden.loss), `loss of step ${i}`).toBeLessThan(goldenTolerance.trajectoryLoss);
      expect(Math.abs(norm - golden.grad_norm) / golden.grad_norm, `gradient norm of step ${i}`).toBeLessThan(1e-3);
      for (const [parameter, variable] of model.trainableVariables().filter(([each]) => grads.has(each))) {
        const { m, v } = moments.get(parameter) ?? { m: tf.zerosLike(variable), v: tf.zerosLike(variable) };
        const decays = variable.rank >= 2 && !parameter.includes('static_');
        const next = adamW(variable, grads.get(parameter) as tf.Tensor, m, v, {
          lr,
          beta1,
          beta2,
          eps,
          weightDecay: decays ? weight_decay : 0,
          step: i + 1,
          gradScale: Math.min(1, clip_norm / (norm + 1e-6)),
        });
        variable.assign(next.param);
        moments.set(parameter, next);
      }
    });
    model.dispose();
  });
});
