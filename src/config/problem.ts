/** Problems with the settings, as values: where, what was found, and how to fix it. Never a secret. */

/** Where a setting's value came from. */
export type Origin =
  | { readonly source: 'flag'; readonly name: string }
  | { readonly source: 'environment'; readonly name: string }
  | { readonly source: 'file'; readonly file: string; readonly line: number | undefined }
  | { readonly source: 'default' };

export interface SettingProblem {
  /** A flag, a variable, `file:line`; undefined when it is about the settings as a whole. */
  readonly where: string | undefined;
  /** What was found, what was expected and how to fix it, in one or two sentences. No secrets. */
  readonly message: string;
}

/** A value, or every problem with it. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly SettingProblem[] };

export const good = <T>(value: T): Checked<T> => ({ ok: true, value });
export const bad = (
  ...problems: readonly SettingProblem[]
): { readonly ok: false; readonly problems: readonly SettingProblem[] } => ({
  ok: false,
  problems,
});

/** `--log.level`, `GITALY_EXPORTER_LOG_LEVEL`, `/etc/exporter.yml:7`, or `default`. */
export function originText(origin: Origin): string {
  switch (origin.source) {
    case 'flag':
    case 'environment':
      return origin.name;
    case 'file':
      return origin.line === undefined ? origin.file : `${origin.file}:${origin.line}`;
    case 'default':
      return 'default';
  }
}

export const problemAt = (origin: Origin, message: string): SettingProblem => ({
  where: originText(origin),
  message,
});

export const problemText = (problem: SettingProblem): string =>
  problem.where === undefined ? problem.message : `${problem.where}: ${problem.message}`;

/** The first problem, and how many more there are. */
export const firstProblemText = ([first, ...others]: readonly SettingProblem[]): string =>
  `${first === undefined ? 'it cannot be parsed' : problemText(first)}${others.length > 0 ? ` (and ${others.length} more)` : ''}`;

/** A found value as messages quote it: on one line, truncated when long. Never call it with a secret. */
export function quotedValue(found: string): string {
  const text = JSON.stringify(found);
  return text.length <= 80 ? text : `${text.slice(0, 76)}..."`;
}
