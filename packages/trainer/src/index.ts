export {
  parseTrainConfig,
  type DataConfig,
  type ParseOptions,
  type TrainConfig,
  type TrainOptions,
} from './train-config';
export { train, type FinishedRun, type InterruptedRun, type RunOptions, type TrainResult } from './train';
export type { TrainEvent } from './events';
export { requireNotTraining } from './run-lock';
export { readMetrics, type StepMetrics } from './log/metrics';
export { learningRate, type Schedule } from './schedule';
export { AdamWOptimizer, type OptimizerOptions } from './optimizer/adamw';
export { decays } from './optimizer/decay';
export { CapturedTrainingStep, trainingStep, type StepResult, type StepSettings } from './step';
export { Batches, type BatchOptions, type Tokens } from './data/batches';
export { prepareData, type PreparedData } from './data/prepare';
