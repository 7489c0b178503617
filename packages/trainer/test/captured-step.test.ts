/** Captured training steps against steps that are taken anew each time, bit by bit. */
import * as tf from '@tensorflow/tfjs-core';
import { parseModelConfig, Rng, setPrecision, ShapeError, type Precision } from '@vwn/core';
import { LanguageModel } from '@vwn/layers';
import { afterEach, expect, it } from 'vitest';
import { describeOnBackends } from '../../core/test/support/backends';
import { AdamWOptimizer, CapturedTrainingStep, trainingStep } from '../src/index';

const vocabulary = 61;
const settings = { lr: 3e-3, maxGradNorm: 1 };
const adamw = { adam_beta1: 0.9, adam_beta2: 0.95, adam_epsilon: 1e-8, weight_decay: 0.1 };

const models: Record<string, object> = {
  'a plain transformer': {},
  '(2,4)': { virtual_width: { m: 2, n: 4 } },
  '(2,3)': { virtual_width: { m: 2, n: 3, reduce_norm: 'none' } },
  'static connections': { virtual_width: { m: 2, n: 4, dynamic: false } },
  'multi-token heads': { virtual_width: { m: 4, n: 8 }, num_nextn_predict_layers: 2 },
  experts: { num_local_experts: 4, virtual_width: { m: 2, n: 4 } },
};

function training(model: object = models['(2,4)'] as object) {
  const config = parseModelConfig({
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 48,
    vocab_size: vocabulary,
    max_position_embeddings: 32,
    ...model,
  });
  const parts = { model: new LanguageModel(config, { seed: 1 }), optimizer: new AdamWOptimizer(adamw) };
  const captured = new CapturedTrainingStep(parts.model, parts.optimizer);
  const dispose = () => [captured, parts.optimizer, parts.model].forEach((each) => each.dispose());
  return { ...parts, captured, dispose };
}

const lookAhead = (model: object) =>
  1 + ((model as { num_nextn_predict_layers?: number }).num_nextn_predict_layers ?? 0);

function batchesOf(shapes: readonly (readonly [rows: number, tokens: number])[], model: object): Int32Array[][] {
  const rng = Rng.fromSeed('captured steps');
  return shapes.map(([rows, tokens]) =>
    Array.from({ length: rows }, () =>
      Int32Array.from({ length: tokens + lookAhead(model) }, () => rng.int(vocabulary)),
    ),
  );
}

const parametersOf = (model: LanguageModel) =>
  model.trainableVariables().map(([name, variable]) => [name, variable.dataSync().slice()]);

/** Results and parameters of steps on the same batches, captured and anew. */
function bothWays(name: string, batches: readonly Int32Array[][], accumulated = 1) {
  const [one, other] = [training(models[name]), training(models[name])];
  const groups = Array.from({ length: batches.length / accumulated }, (_, i) =>
    batches.slice(i * accumulated, (i + 1) * accumulated),
  );
  const results = groups.map((group) => ({
    captured: one.captured.run(group, settings),
    anew: trainingStep(other.model, other.optimizer, group, settings),
  }));
  const parameters = { captured: parametersOf(one.model), anew: parametersOf(other.model) };
  const { notCaptured } = one.captured;
  one.dispose();
  other.dispose();
  return { results, parameters, notCaptured };
}

const shapes = (count: number) => Array.from({ length: count }, () => [2, 8] as const);

afterEach(() => setPrecision('fp32'));

describeOnBackends('captured steps', (backend) => {
  const canCapture = backend.startsWith('vwn');
  const reason = canCapture ? undefined : `backend ${backend} cannot capture kernels`;
  const precisions: Precision[] = canCapture ? ['fp32', 'bf16'] : ['fp32'];

  for (const precision of precisions)
    it.each(Object.keys(models))(
      `give the losses, norms and parameters of steps taken anew: %s, ${precision}`,
      (name) => {
        setPrecision(precision);
        const batches = batchesOf(shapes(3), models[name] as object);
        const { results, parameters, notCaptured } = bothWays(name, batches);
        expect(notCaptured).toBe(reason);
        for (const { captured, anew } of results) expect(captured).toEqual(anew);
        expect(parameters.captured).toEqual(parameters.anew);
        expect(new Set(results.map(({ anew }) => anew.loss)).size).toBe(3);
      },
    );

  it('do so with gradient accumulation, and when the shape of batches changes', () => {
    for (const [accumulated, sizes] of [
      [2, shapes(4)],
      [1, [...shapes(2), [1, 8], [1, 8], [2, 5], [2, 8]] as [number, number][]],
    ] as const) {
      const { results, parameters } = bothWays('experts', batchesOf(sizes, {}), accumulated);
      for (const { captured, anew } of results) expect(captured).toEqual(anew);
      expect(parameters.captured).toEqual(parameters.anew);
    }
  });

  it('see parameters that were assigned anew, and another precision', () => {
    const [one, other] = [training(), training()];
    const [first, second, third] = batchesOf(shapes(3), {}) as [Int32Array[], Int32Array[], Int32Array[]];
    const both = (batch: Int32Array[]) => {
      const anew = trainingStep(other.model, other.optimizer, [batch], settings);
      expect(one.captured.run([batch], settings)).toEqual(anew);
    };
    both(first);
    for (const { model } of [one, other])
      for (const [, variable] of model.trainableVariables()) tf.tidy(() => variable.assign(tf.mul(variable, 1.5)));
    both(second);
    if (canCapture) setPrecision('bf16');
    both(third);
    one.dispose();
    other.dispose();
  });

  it('leave clones of parameters as they are, and follow the rate and the norm that each step asks for', () => {
    const [one, other] = [training(), training()];
    const clones: [tf.Tensor, number[]][] = [];
    const asked = [
      settings,
      { lr: 1e-3, maxGradNorm: 1 },
      { lr: 1e-3, maxGradNorm: 0 },
      { lr: 2e-3, maxGradNorm: 0.01 },
    ];
    for (const [i, batch] of batchesOf(shapes(8), {}).entries()) {
      const step = asked[i % 4] as typeof settings;
      const anew = trainingStep(other.model, other.optimizer, [batch], step);
      expect(one.captured.run([batch], step)).toEqual(anew);
      const [, variable] = one.model.trainableVariables()[i] as [string, tf.Variable];
      clones.push([tf.clone(variable), [...variable.dataSync()]]);
    }
    for (const [clone, values] of clones) expect([...clone.dataSync()]).toEqual(values);
    expect(parametersOf(one.model)).toEqual(parametersOf(other.model));
    tf.dispose(clones.map(([clone]) => clone));
    one.dispose();
    other.dispose();
  });

  it('change no parameter, moment or count where the loss is not finite', async () => {
    const { model, optimizer, captured, dispose } = training({});
    const batches = batchesOf(shapes(3), {});
    for (const batch of batches) captured.run([batch], settings);
    const [, first] = model.trainableVariables()[0] as [string, tf.Variable];
    const kept = first.dataSync().slice();
    const overwrite = (values: Float32Array) => tf.tidy(() => first.assign(tf.tensor(values, first.shape)));
    overwrite(kept.map((each) => each * Number.POSITIVE_INFINITY) as Float32Array);
    const before = [parametersOf(model), await optimizer.state()];
    for (const batch of batches) {
      const { finite, loss } = captured.run([batch], settings);
      expect([finite, Number.isFinite(loss)]).toEqual([false, false]);
    }
    expect([parametersOf(model), await optimizer.state()]).toEqual(before);
    overwrite(kept as Float32Array);
    expect(captured.run([batches[0] as Int32Array[]], settings).finite).toBe(true);
    dispose();
  });

  it('are not disturbed by what runs between them, and disturb nothing', () => {
    const [one, other] = [training(), training()];
    const bystander = tf.tidy(() => tf.square(tf.range(0, 5000)));
    const before = bystander.dataSync().slice();
    for (const batch of batchesOf(shapes(3), {})) {
      const anew = trainingStep(other.model, other.optimizer, [batch], settings);
      const held = tf.tidy(() => other.model.tokenLosses(batch.map((row) => row.slice(0, 6))));
      const [values, captured] = [held.dataSync().slice(), one.captured.run([batch], settings)];
      expect(captured).toEqual(anew);
      expect(held.dataSync()).toEqual(values);
      held.dispose();
    }
    expect(bystander.dataSync()).toEqual(before);
    bystander.dispose();
    one.dispose();
    other.dispose();
  });

  it('hold no more tensors and bytes from step to step, and none after dispose', () => {
    const used = () => ({
      tensors: tf.memory().numTensors,
      bytes: (tf.backend() as { memory?: () => object }).memory?.(),
    });
    const warm = training();
    warm.captured.run(batchesOf(shapes(1), {}), settings);
    warm.dispose();
    const before = tf.memory().numTensors;
    const { model, optimizer, captured, dispose } = training();
    const [batch] = batchesOf(shapes(1), {}) as [Int32Array[]];
    captured.run([batch], settings);
    const after = used();
    for (let i = 0; i < 10; i++) captured.run([batch], settings);
    expect(used()).toEqual(after);
    captured.dispose();
    trainingStep(model, optimizer, [batch], settings);
    dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuse ids out of the vocabulary and rows too short, and go on with the next batch', () => {
    const { captured, dispose } = training();
    const [batch] = batchesOf(shapes(1), {}) as [Int32Array[]];
    const tooShort = () => captured.run([[Int32Array.of(1)]], settings);
    expect(tooShort).toThrow(ShapeError); // the optimizer has its moments from here on
    const tensors = tf.memory().numTensors;
    expect(tooShort).toThrow(ShapeError);
    expect(tf.memory().numTensors).toBe(tensors);
    captured.run([batch], settings);
    const wrong = batch.map((row) => row.map((id, t) => (t === 3 ? vocabulary : id)));
    expect(() => captured.run([wrong], settings)).toThrow('token id 61 (row 0, position 3) is not in the vocabulary');
    expect(captured.run([batch], settings).finite).toBe(true);
    dispose();
  });
});
