import type { LanguageModel } from '@vwn/layers';
import { tidy } from '@tensorflow/tfjs-core';

/** What evaluation needs of a model; anything that gives log-probabilities can be evaluated. */
export interface ScoringModel {
  /** Longest input of {@link logProbabilities}, in tokens that are conditioned on. */
  readonly maxLength: number;
  readonly vocabSize: number;
  /**
   * For rows of one length T+1, natural log-probabilities of tokens 1 … T given those before, and whether each is the
   * likeliest token, [rows][T].
   */
  logProbabilities(rows: readonly (readonly number[])[]): { logProbs: Float32Array[]; greedy: boolean[][] };
  /** Mean losses of next-token, next-2-token … prediction; the first alone without multi-token heads. */
  losses?(rows: readonly (readonly number[])[]): number[];
  /** Multi-token heads. */
  readonly depth?: number;
}

/** A tokenizer, as far as evaluation needs it. */
export interface ScoringTokenizer {
  encode(text: string): number[];
  readonly eosId?: number | undefined;
  readonly bosId?: number | undefined;
}

/** A language model of @vwn/layers as a scoring model. */
export function scoringModel(model: LanguageModel): ScoringModel {
  const { max_position_embeddings: maxLength, vocab_size: vocabSize, num_nextn_predict_layers: depth } = model.config;
  return {
    maxLength,
    vocabSize,
    depth,
    logProbabilities: (rows) => {
      const T = (rows[0]?.length ?? 1) - 1;
      const inputs = rows.map((row) => row.slice(0, -1));
      const logits = tidy(() => model.logits(inputs).dataSync()) as Float32Array;
      return gatherTargets(logits, rows, T, vocabSize);
    },
    losses: (rows) => tidy(() => model.loss(rows).losses.map((loss) => loss.dataSync()[0] as number)),
  };
}

/** Log-softmax at the targets, in float64. logits [rows, T, V] row-major. */
function gatherTargets(logits: Float32Array, rows: readonly (readonly number[])[], T: number, V: number) {
  const logProbs: Float32Array[] = [];
  const greedy: boolean[][] = [];
  rows.forEach((row, b) => {
    const line = new Float32Array(T);
    const likeliest: boolean[] = [];
    for (let t = 0; t < T; t++) {
      const at = (b * T + t) * V;
      const scores = logits.subarray(at, at + V);
      const target = row[t + 1] as number;
      const { logSumExp, best } = summarize(scores);
      line[t] = (scores[target] as number) - logSumExp;
      likeliest.push(best === target);
    }
    logProbs.push(line);
    greedy.push(likeliest);
  });
  return { logProbs, greedy };
}

function summarize(scores: Float32Array): { logSumExp: number; best: number } {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if ((scores[i] as number) > (scores[best] as number)) best = i;
  const largest = scores[best] as number;
  let total = 0;
  for (const score of scores) total += Math.exp(score - largest);
  return { logSumExp: largest + Math.log(total), best };
}
