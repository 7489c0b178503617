/** What a training step copies between the host and a device with memory of its own. */
import { engine } from '@tensorflow/tfjs-core';
import { parseModelConfig, Rng, setPrecision } from '@vwn/core';
import { afterAll, describe, expect, it } from 'vitest';
import { useTestBackend } from '../../core/test/support/backends';
import { LanguageModel } from '../../layers/src/index';
import { AdamWOptimizer, CapturedTrainingStep, trainingStep } from '../../trainer/src/index';

interface DeviceLibrary {
  read?: (address: number, into: Uint8Array) => void;
  write?: (address: number, from: Uint8Array) => void;
}

/** Bytes of every copy that `work` makes, in order. */
function copiesOf(work: () => void): { read: number[]; written: number[] } {
  const { library } = engine().backend as unknown as { library: DeviceLibrary };
  const { read, write } = library;
  const copies = { read: [] as number[], written: [] as number[] };
  library.read = (address, into) => (copies.read.push(into.length), read?.(address, into));
  library.write = (address, from) => (copies.written.push(from.length), write?.(address, from));
  try {
    work();
  } finally {
    Object.assign(library, { read, write });
  }
  return copies;
}

function stepper(settings: object, isCaptured = false): () => void {
  const config = parseModelConfig({
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 48,
    vocab_size: 61,
    max_position_embeddings: 16,
    ...settings,
  });
  const rng = Rng.fromSeed('copies');
  const ids = [0, 1].map(() => Int32Array.from({ length: 17 }, () => rng.int(61)));
  const model = new LanguageModel(config, { seed: 0 });
  const optimizer = new AdamWOptimizer({ adam_beta1: 0.9, adam_beta2: 0.95, adam_epsilon: 1e-8, weight_decay: 0.1 });
  const captured = new CapturedTrainingStep(model, optimizer);
  const step = { lr: 1e-3, maxGradNorm: 1 };
  return () => (isCaptured ? captured.run([ids], step) : trainingStep(model, optimizer, [ids], step));
}

afterAll(() => setPrecision('fp32'));

describe('a training step', () => {
  for (const precision of ['fp32', 'bf16'] as const)
    for (const virtual_width of [undefined, { m: 2, n: 3, reduce_norm: 'none' }, { m: 4, n: 16 }])
      it.each(['taken anew', 'captured'])(
        `and %s copies only token ids and single numbers (${precision}, ${JSON.stringify(virtual_width ?? 'plain')})`,
        async (how) => {
          await useTestBackend('vwn-cuda');
          setPrecision(precision);
          const step = stepper({ virtual_width }, how === 'captured');
          step();
          const { read, written } = copiesOf(step);
          // 2 × 17 ids, and AdamW's factors; back: the loss, its one part, and the gradient's norm.
          expect(written.filter((bytes) => bytes > 4)).toEqual([136, 24]);
          expect(read).toEqual([4, 4, 4]);
        },
      );

  it.each(['fp32', 'bf16'] as const)(
    'of experts reads nothing back before its losses, and then how many tokens each expert got (%s)',
    async (precision) => {
      await useTestBackend('vwn-cuda');
      setPrecision(precision);
      const step = stepper({ num_local_experts: 4, virtual_width: { m: 2, n: 4 } });
      step();
      const { read } = copiesOf(step);
      // The loss, its one part, the shares of 4 experts in 2 layers, and the gradient's norm.
      expect(read).toEqual([4, 4, 32, 4]);
    },
  );
});
