export const watchedFlags: readonly string[];
