import { registerNativeBackend, type NativeLibrary } from '@vwn/kernels';

export const register = (open: () => NativeLibrary): void => registerNativeBackend('vwn-other', open);
