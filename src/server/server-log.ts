/** What the server needs of a logger; pino's fits. */
export interface ServerLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export const silentLog: ServerLog = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
