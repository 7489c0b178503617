import { BackendError, VwnError } from '@vwn/core';

const form = /^(?<got>.*?)(?:, and must (?:be of |be |have )?(?<expected>[^;:]*)(?:[;:] (?<todo>.*))?|; (?<next>.*))$/s;

/**
 * What a native text says, part by part: "what is wrong, and must be what is expected; what to do", either of the last two
 * left out or not (vwn_kernels.h). A text of another form is all `got`.
 */
export function partsOf(text: string): { readonly got: string; readonly expected?: string; readonly hint?: string } {
  const { got = text, expected, todo, next } = form.exec(text)?.groups ?? {};
  const hint = todo ?? next;
  return { got, ...(expected && { expected }), ...(hint && { hint: hint.charAt(0).toUpperCase() + hint.slice(1) }) };
}

/** What a kernel's failure becomes, whoever ran it. */
export function kernelFailed(name: string, error: unknown): BackendError {
  return nativeFailure(`kernel ${name} failed`, error);
}

/** Of what native code throws, or what is in the way of calling it: the message of a typed error has its parts already. */
export function nativeFailure(what: string, error: unknown): BackendError {
  const text = error instanceof Error ? error.message : String(error);
  return new BackendError(what, error instanceof VwnError ? { got: text } : partsOf(text));
}
