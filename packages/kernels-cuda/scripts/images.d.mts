export interface Nvcc {
  readonly command: string;
  readonly version: string;
}

export interface KernelImage {
  readonly stem: string;
  readonly image: string;
  readonly report: string;
}

export interface KernelReport {
  readonly kernel: string;
  readonly architecture: string;
  readonly registers: number;
  readonly spilledBytes: number;
}

export const architectures: readonly string[];
export function findNvcc(): Nvcc | undefined;
export function compileImages(nvcc: Nvcc, native: string, folder: string): Promise<KernelImage[]>;
export function imagesSource(images: readonly KernelImage[]): string;
export function readReport(text: string): KernelReport[];
