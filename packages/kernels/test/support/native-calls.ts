import type { NativeBackend } from '../../src/index';

/** Names of the native functions that `work` calls on the backend, in order. */
export function nativeCallsOf(backend: NativeBackend, work: () => void): string[] {
  const names: string[] = [];
  const { call } = backend;
  backend.call = (name, ...rest) => (names.push(name), call.call(backend, name, ...rest));
  try {
    work();
  } finally {
    backend.call = call;
  }
  return names;
}
