export const addon: string;
export function bundle(entry: string): Promise<string>;
