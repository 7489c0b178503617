/**
 * Typed errors of all packages. Each says what was wrong, what was expected and what to do next; the CLI prints
 * `message` without a stack for every {@link VwnError}, and with one for anything else (which is then a defect).
 */

export interface ErrorDetails {
  /** What was expected, in words or numbers. */
  readonly expected?: string;
  /** What was found instead. */
  readonly got?: string;
  /** What the reader can do next, as an imperative sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Base class. `message` is `what`, then `expected …, got …`, then the hint. */
export class VwnError extends Error {
  /** Stable machine-readable code, `E_` and the class's subject. */
  readonly code: string = 'E_VWN';
  readonly expected: string | undefined;
  readonly got: string | undefined;
  readonly hint: string | undefined;

  constructor(what: string, details: ErrorDetails = {}) {
    super(composeMessage(what, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.expected = details.expected;
    this.got = details.got;
    this.hint = details.hint;
  }
}

function composeMessage(what: string, { expected, got, hint }: ErrorDetails): string {
  const facts = [expected === undefined ? '' : `expected ${expected}`, got === undefined ? '' : `got ${got}`];
  const joined = facts.filter(Boolean).join(', ');
  return [joined ? `${what}: ${joined}` : what, hint].filter(Boolean).join('. ');
}

/** A configuration value is missing, unknown or contradicts another. */
export class ConfigError extends VwnError {
  override readonly code = 'E_CONFIG';
}

/** A tensor has another shape or dtype than the operation takes. */
export class ShapeError extends VwnError {
  override readonly code = 'E_SHAPE';
}

/** A checkpoint folder or one of its files cannot be read as what it claims to be. */
export class CheckpointError extends VwnError {
  override readonly code = 'E_CHECKPOINT';
}

/** A TensorFlow.js backend is absent or cannot run here. */
export class BackendError extends VwnError {
  override readonly code = 'E_BACKEND';
}

/** Text, token or task data is missing or malformed. */
export class DataError extends VwnError {
  override readonly code = 'E_DATA';
}

/** A loss or gradient is NaN or infinite. */
export class NumericsError extends VwnError {
  override readonly code = 'E_NUMERICS';
}

/** A file could not be written: disk full, no permission, a folder in the way. */
export class StorageError extends VwnError {
  override readonly code = 'E_STORAGE';
}
