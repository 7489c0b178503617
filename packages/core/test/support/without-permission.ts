import { chmodSync } from 'node:fs';

const nobody = 65534;

/** What `use` fails with while its folder may not be read; root, who may read all, is nobody meanwhile. */
export async function withoutPermission(folder: string, use: () => Promise<unknown>): Promise<unknown> {
  const isRoot = process.geteuid?.() === 0;
  chmodSync(folder, 0);
  if (isRoot) process.seteuid?.(nobody);
  try {
    return await use().then(
      () => undefined,
      (error: unknown) => error,
    );
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(folder, 0o700);
  }
}
