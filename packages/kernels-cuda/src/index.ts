/** Importing this package registers the TensorFlow.js backend `vwn-cuda`; library and device are opened on first use. */
import { registerNativeBackend } from '@vwn/kernels';
import { loadLibrary } from './load-library';

registerNativeBackend('vwn-cuda', loadLibrary, { keepsRounded: true });

export { emulatedAddon, loadLibrary, platformPackage } from './load-library';
