/** Reading files as an argument: production passes node:fs, tests a table of texts. */

/** The text of a file; rejects as node:fs does. */
export type ReadText = (path: string) => Promise<string>;
