import { loadLibrary, platformPackage } from '@vwn/kernels-cpu';

export const name: string = platformPackage;
export const threads: number = loadLibrary().threads();
