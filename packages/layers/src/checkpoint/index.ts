export {
  isTemporary,
  readTemporaryName,
  temporaryName,
  writeFileAtomically,
  writeFolderAtomically,
} from './atomic-write';
export { completeCheckpoints, readCheckpointJson, readModelTensors, resolveCheckpointDir } from './checkpoint-files';
export { loadCheckpoint, loadCheckpointConfig, loadWeights } from './load-checkpoint';
export { makeFolder } from './make-folder';
export { readSafetensors, readSafetensorsMetadata, writeSafetensors } from './safetensors';
export { saveCheckpoint, writeJson, type SaveOptions } from './save-checkpoint';
