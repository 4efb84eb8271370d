/** The log on standard error. */
import { choice } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ['logfmt', 'json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

export const logSection = {
  title: 'Log',
  settings: {
    log: {
      level: setting(choice(logLevels), {
        default: 'info',
        help: 'Minimum level that is logged. Each state change is one line at info or above; debug logs every run.',
      }),
      format: optional(choice(logFormats), {
        unset: 'pretty on a terminal, else logfmt',
        help: 'Format of the log on standard error.',
        example: 'json',
      }),
    },
  },
} as const satisfies Section;
