import { cost, parseModelConfig, parameterParts, Rng, ShapeError } from '@vwn/core';
import { maxRelativeError } from '@vwn/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { describeOnBackends } from '../../core/test/support/backends';
import { generate, hashNgrams, LanguageModel, OverEncoding, sampleToken, unreachedExperts } from '../src/index';

const backbone = {
  vocab_size: 31,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 24,
};
const ids = [
  [1, 2, 3, 4, 5, 6, 7],
  [30, 0, 29, 1, 28, 2, 27],
];

const variants: [string, object][] = [
  ['plain', {}],
  ['tied', { tie_word_embeddings: true }],
  ['experts', { num_local_experts: 3 }],
  ['wide', { virtual_width: { m: 4, n: 8 } }],
  ['static', { virtual_width: { m: 2, n: 6, dynamic: false } }],
  ['expand with layer norm', { virtual_width: { m: 4, n: 16, embedding: 'expand', reduce_norm: 'layer' } }],
  ['fractional with heads', { virtual_width: { m: 2, n: 3, reduce_norm: 'none' }, num_nextn_predict_layers: 2 }],
  ['hyper-connections', { virtual_width: { m: 1, n: 4 } }],
  ['frac-connections', { virtual_width: { m: 4, n: 4 } }],
];

const build = (more: object, seed: number | string = 1) =>
  new LanguageModel(parseModelConfig({ ...backbone, ...more }), { seed });

describeOnBackends('a language model', () => {
  it.each(variants)('(%s) has as many parameters as the cost model counts', (_name, more) => {
    const model = build(more);
    const parts = Object.values(parameterParts(model.config)).reduce((a, b) => a + b, 0);
    expect(model.parameters.count()).toBe(parts);
    expect(cost(model.config).model.parameters).toBe(parts);
    model.dispose();
  });

  it.each(variants)('(%s) gives the same logits with a KV cache, token by token and in pieces', (_name, more) => {
    const model = build(more);
    const whole = model.logits(ids).dataSync();
    const cache = model.newCache();
    const pieces = [
      [0, 3],
      [3, 4],
      [4, 7],
    ].map(([from, to]) =>
      model.logits(
        ids.map((row) => row.slice(from, to)),
        cache,
      ),
    );
    expect(cache.length).toBe(7);
    expect(maxRelativeError(tf.concat(pieces, 1).dataSync(), whole)).toBeLessThan(1e-5);
    cache.dispose();
    model.dispose();
  });

  it.each(variants)('(%s) gives the logits after the last token alone, with a cache or without', (_name, more) => {
    const model = build(more);
    const whole = model.logits(ids);
    const last = tf.reshape(tf.slice(whole, [0, 6, 0], [2, 1, 31]), [2, 31]).dataSync();
    const cache = model.newCache();
    const first = model.lastLogits(
      ids.map((row) => row.slice(0, 5)),
      cache,
    );
    expect(first.shape).toEqual([2, 31]);
    const rest = ids.map((row) => row.slice(5));
    expect(maxRelativeError(model.lastLogits(rest, cache).dataSync(), last)).toBeLessThan(1e-5);
    expect(cache.length).toBe(7);
    expect(maxRelativeError(model.lastLogits(ids).dataSync(), last)).toBeLessThan(1e-5);
    cache.dispose();
    model.dispose();
  });

  it('keeps nothing but its parameters after loss, gradients and logits', () => {
    const model = build({ virtual_width: { m: 4, n: 8 }, num_local_experts: 2, num_nextn_predict_layers: 1 });
    const step = () => {
      const { value, grads } = tf.variableGrads(() => model.loss(ids).total);
      tf.dispose([value, grads]);
      tf.tidy(() => void model.logits(ids));
    };
    step();
    const before = tf.memory().numTensors;
    for (let i = 0; i < 3; i++) step();
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });

  it('of one seed starts with the same backbone with and without virtual width', () => {
    const [plain, wide] = [build({}), build({ virtual_width: { m: 4, n: 8 } })];
    const shared = plain.parameters.entries().filter(([name]) => /self_attn|mlp|layernorm/.test(name));
    expect(shared.length).toBeGreaterThan(10);
    for (const [name, variable] of shared) expect(wide.parameters.get(name)?.dataSync()).toEqual(variable.dataSync());
    expect(build({}, 2).parameters.get('lm_head.weight')?.dataSync()).not.toEqual(
      plain.parameters.get('lm_head.weight')?.dataSync(),
    );
  });

  it('with m = n = 1, static, no reduce norm and an identity reduce operator is the plain transformer', () => {
    const plain = build({});
    const identity = Float32Array.from({ length: 256 }, (_, i) => (i % 17 === 0 ? 1 : 0));
    const values = new Map(
      plain.parameters
        .entries()
        .map(([name, variable]) => [name, { shape: variable.shape, values: variable.dataSync() as Float32Array }]),
    );
    values.set('model.reduce.weight', { shape: [16, 16], values: identity });
    const config = parseModelConfig({
      ...backbone,
      virtual_width: { m: 1, n: 1, dynamic: false, reduce_norm: 'none' },
    });
    const virtual = new LanguageModel(config, { values });
    expect(maxRelativeError(virtual.logits(ids).dataSync(), plain.logits(ids).dataSync())).toBeLessThan(1e-6);
  });

  it('respects the order of segments: slots in another order, with every matrix to match, give the same logits', () => {
    const model = build({ virtual_width: { m: 2, n: 4, reduce_norm: 'none' } });
    const [m, n, db] = [2, 4, 8];
    const order = [2, 0, 3, 1];
    const rng = Rng.fromSeed('noise');
    const values = new Map<string, { shape: number[]; values: Float32Array }>();
    for (const [name, variable] of model.parameters.entries()) {
      const noisy = (variable.dataSync() as Float32Array).map((value) => value + 0.1 * rng.normal());
      variable.assign(tf.tensor(noisy, variable.shape));
      values.set(name, { shape: variable.shape, values: permuteSlots(name, noisy, variable.shape, order, m, n, db) });
    }
    const permuted = new LanguageModel(model.config, { values });
    expect(maxRelativeError(permuted.logits(ids).dataSync(), model.logits(ids).dataSync())).toBeLessThan(1e-4);
  });

  it('names an id that is not in the vocabulary, and rows of different lengths', () => {
    const model = build({});
    expect(() => model.logits([[1, 31]])).toThrow(ShapeError);
    expect(() => model.logits([[1, 31]])).toThrow(
      'token id 31 (row 0, position 1) is not in the vocabulary: expected a whole number from 0 to 30',
    );
    expect(() => model.logits([[1, 2], [3]])).toThrow('rows of token ids differ in length');
    expect(() => model.loss([[1]])).toThrow('K + 2 tokens');
  });

  it('reports the load-balancing loss of torch’s formula: 1 times k when routing is even', () => {
    const model = build({ num_local_experts: 4 });
    for (const [name, variable] of model.parameters.entries())
      if (name.endsWith('block_sparse_moe.gate.weight')) variable.assign(tf.zeros(variable.shape));
    const { auxiliary } = model.loss(ids);
    expect(auxiliary?.dataSync()[0]).toBeCloseTo(2, 5);
  });

  it('names the parameters of experts that no token has reached, and their gradients are zeros', () => {
    const model = build({ num_local_experts: 4 });
    // Equal logits: every token goes to the first experts of layer 0.
    for (const [name, variable] of model.parameters.entries())
      if (name.endsWith('layers.0.block_sparse_moe.gate.weight')) variable.assign(tf.zeros(variable.shape));
    let shares: tf.Tensor | undefined;
    const { grads } = tf.variableGrads(() => {
      const { total, expertShares } = model.loss(ids);
      shares = expertShares && tf.keep(expertShares);
      return total;
    });
    const variables = new Map(model.trainableVariables());
    const ofLayer0 = [...unreachedExperts([...variables.keys()], shares as tf.Tensor)].filter((name) =>
      name.includes('layers.0'),
    );
    const weights = [2, 3].flatMap((e) => ['w1', 'w3', 'w2'].map((w) => `experts.${e}.${w}.weight`));
    expect(ofLayer0).toEqual(weights.map((each) => `model.layers.0.block_sparse_moe.${each}`));
    for (const name of ofLayer0)
      expect(tf.max(tf.abs(grads[variables.get(name)?.name ?? ''] as tf.Tensor)).dataSync()[0]).toBe(0);
  });
});

/** Reorders what belongs to a slot: columns of embedding and reduce operator, rows and carry columns of the connections. */
function permuteSlots(
  name: string,
  values: Float32Array,
  shape: number[],
  order: number[],
  m: number,
  n: number,
  db: number,
): Float32Array {
  const [rows = 1, columns = 1] = shape;
  const pick = (source: (row: number, column: number) => [number, number]) =>
    Float32Array.from({ length: values.length }, (_, i) => {
      const [row, column] = source(Math.floor(i / columns), i % columns);
      return values[row * columns + column] as number;
    });
  const slot = (i: number) => order[i] as number;
  const carryColumn = (column: number) => (column < m ? column : m + slot(column - m));
  if (/embed_tokens|reduce\.weight/.test(name))
    return pick((row, column) => [row, slot(Math.floor(column / db)) * db + (column % db)]);
  if (/static_alpha|alpha_scale/.test(name)) return pick((row, column) => [slot(row), carryColumn(column)]);
  if (/alpha_fn/.test(name)) return pick((row, column) => [row, carryColumn(column)]);
  if (/static_beta|beta_scale/.test(name) && rows === n) return pick((row, column) => [slot(row), column]);
  return values;
}

describeOnBackends('generation', () => {
  it('continues greedily with the likeliest token, also beyond the positions of the cache', async () => {
    const model = build({ virtual_width: { m: 4, n: 8 }, initializer_range: 0.3 });
    const made: number[] = [];
    for await (const id of generate(model, [3], { maxTokens: 40, temperature: 0, rng: Rng.fromSeed(0) })) made.push(id);
    expect(made).toHaveLength(40);
    const context = [3, ...made.slice(0, 10)];
    const logits = tf.tidy(() => model.logits([context]).dataSync());
    const last = Array.from(logits.slice(-31));
    expect(last.indexOf(Math.max(...last))).toBe(made[10]);
    model.dispose();
  });

  it('stops at a stop id and refuses an empty prompt', async () => {
    const model = build({});
    const all: number[] = [];
    for await (const id of generate(model, [1], {
      maxTokens: 50,
      rng: Rng.fromSeed(4),
      stopIds: [...Array(31).keys()],
    }))
      all.push(id);
    expect(all).toEqual([]);
    await expect(generate(model, [1, 1e6], { maxTokens: 1, rng: Rng.fromSeed(0) }).next()).rejects.toThrow(
      'token id 1000000 (row 0, position 1) is not in the vocabulary',
    );
    await expect(generate(model, [], { maxTokens: 1, rng: Rng.fromSeed(0) }).next()).rejects.toThrow(
      'the prompt is empty',
    );
  });

  it('samples within top-k and top-p, and the likeliest at temperature 0', () => {
    const logits = Float32Array.from([0, 3, 2, 1]);
    const draws = (options: object) =>
      new Set(Array.from({ length: 300 }, (_, i) => sampleToken(logits, options, Rng.fromSeed(i))));
    expect(draws({ temperature: 0 })).toEqual(new Set([1]));
    expect(draws({ topK: 2 })).toEqual(new Set([1, 2]));
    expect(draws({ topP: 0.5 })).toEqual(new Set([1]));
    expect(draws({ topP: 0.8 })).toEqual(new Set([1, 2]));
    expect(draws({})).toEqual(new Set([0, 1, 2, 3]));
  });
});

describeOnBackends('over-encoding', () => {
  it('hashes the n-gram that ends at each position', () => {
    expect(Array.from(hashNgrams([3, 1, 2], 2, 10, 7))).toEqual([3, 31 % 7, 12 % 7]);
    expect(Array.from(hashNgrams([3, 1, 2], 3, 10, 1000))).toEqual([3, 31, 312]);
  });

  it('gives what to add to an embedding, which depends on no later token', () => {
    const encoding = new OverEncoding({ vocabSize: 31, width: 32, tableSize: 50 });
    const out = encoding.apply(ids);
    expect(out.shape).toEqual([2, 7, 32]);
    const changed = encoding.apply(ids.map((row) => [...row.slice(0, 6), 9]));
    const first = (x: tf.Tensor) => tf.slice(x, [0, 0, 0], [2, 6, 32]).dataSync();
    expect(first(changed)).toEqual(first(out));
    expect(changed.dataSync()).not.toEqual(out.dataSync());
  });
});
