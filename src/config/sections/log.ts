/** What the program says on standard error. */
import { oneOf } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ['logfmt', 'json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

export const logSection = {
  title: 'Log',
  settings: {
    log: {
      level: setting(oneOf(logLevels), {
        default: 'info',
        help: 'Least severe level that is logged. A change of state is one line at info or above; debug says every run.',
      }),
      format: optional(oneOf(logFormats), {
        unset: 'pretty on a terminal, else logfmt',
        help: 'Form of the log lines on standard error.',
        example: 'json',
      }),
    },
  },
} as const satisfies Section;
