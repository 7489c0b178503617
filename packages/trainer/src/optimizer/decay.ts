/**
 * Whether weight decay applies (vwn.md §3): yes for matrices of the backbone, embeddings and the dynamic parts; no for
 * static A and B, norms and other 1-D tensors.
 */
export function decays(name: string, rank: number): boolean {
  return rank >= 2 && !/(^|\.)static_(alpha|beta)$/.test(name);
}
