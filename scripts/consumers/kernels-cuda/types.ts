import { emulatedAddon, loadLibrary } from '@vwn/kernels-cuda';

export const path: string = emulatedAddon;
export const device = (): string => loadLibrary().instructionSet;
