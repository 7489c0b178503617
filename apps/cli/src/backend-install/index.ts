export { installTensorflowBackend, type InstallOptions, type InstallResult } from './install';
export { tensorflowBackendLocation } from './location';
export { loadInstalledTensorflow } from './load';
