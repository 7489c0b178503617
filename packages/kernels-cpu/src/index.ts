/** Importing this package registers the TensorFlow.js backend `vwn-cpu`; the native library is loaded on first use. */
import { registerNativeBackend } from '@vwn/kernels';
import { loadLibrary } from './load-library';

registerNativeBackend('vwn-cpu', loadLibrary);

export { loadLibrary, platformPackage } from './load-library';
export { measurePeaks, type Peaks } from './peaks';
