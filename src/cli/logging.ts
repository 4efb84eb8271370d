/**
 * The log on standard error: pino, as logfmt or JSON for machines, pretty on a terminal. Times are UTC; errors carry
 * their causes; secrets print as <secret>, and so do fields that have the usual names of secrets.
 */
import { type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';
import type { LogFormat, LogLevel } from '../config/sections/program.ts';
import type { System } from '../config/system.ts';
import type { Log } from '../lib/log.ts';
import { type Output, usesColor } from './command.ts';

export interface LogSettings {
  readonly level: LogLevel;
  /** Undefined: pretty on a terminal, else logfmt. */
  readonly format: LogFormat | undefined;
}

const secretFields = ['password', 'passwd', 'secret', 'token', 'authorization', 'cookie', 'connectionString'];

export async function createLog(
  settings: LogSettings,
  output: Output,
  env: System['env'] = {},
): Promise<Log> {
  const format = settings.format ?? (output.isTTY === true ? 'pretty' : 'logfmt');
  const logger: Logger = pino(
    {
      level: settings.level,
      base: null,
      messageKey: 'msg',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.errWithCause, error: stdSerializers.errWithCause },
      redact: {
        paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: '<secret>',
      },
    },
    await destination(format, output, usesColor(output, env)),
  );
  return logger;
}

async function destination(format: LogFormat, output: Output, colorize: boolean): Promise<DestinationStream> {
  switch (format) {
    case 'json':
      return { write: (line) => output.write(line) };
    case 'logfmt':
      return { write: (line) => output.write(`${logfmt(JSON.parse(line))}\n`) };
    case 'pretty': {
      // Loaded only on a terminal: it takes longer than the rest of the log.
      const { prettyFactory } = await import('pino-pretty');
      const pretty = prettyFactory({
        colorize,
        translateTime: 'UTC:yyyy-mm-dd HH:MM:ss.l',
        ignore: 'pid,hostname',
      });
      return { write: (line) => output.write(pretty(line)) };
    }
  }
}

/** One line of `key=value` pairs: time, level and message first, nested fields by their dotted names. */
export function logfmt(fields: Readonly<Record<string, unknown>>): string {
  const { time, level, msg, ...rest } = fields;
  return [...pairs({ time, level, msg }, ''), ...pairs(rest, '')].join(' ');
}

function pairs(fields: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  return Object.entries(fields).flatMap(([key, value]): readonly string[] => {
    if (value === undefined) return [];
    const name = prefix + key.replaceAll(/[\s="]+/g, '_');
    if (typeof value !== 'object' || value === null) return [`${name}=${logfmtValue(String(value))}`];
    if (Array.isArray(value)) return [`${name}=${logfmtValue(JSON.stringify(value))}`];
    return pairs(value as Readonly<Record<string, unknown>>, `${name}.`);
  });
}

/** Quoted as JSON when it is empty or holds a space, a quote, an equals sign or a control character. */
const logfmtValue = (text: string): string =>
  /^[^\s"=\\\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text);
