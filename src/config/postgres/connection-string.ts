/**
 * Reads a connection string as libpq does (PostgreSQL documentation, 34.1.1): a postgres:// URL, or keywords.
 *
 * pg-connection-string is not used here: it gives sslmode another meaning than libpq, reads the certificate files
 * itself, once, and accepts unknown parameters. Error messages quote no character of the string, as a password with
 * an unescaped / or @ can end up in any part of it.
 */
import { Secret } from '../../lib/secret.ts';
import type { Origin } from '../problem.ts';
import { isKeyword, type Parameters, refusal, unusedKeywords } from './keywords.ts';

type Pairs = readonly (readonly [name: string, value: string])[];

/** What is wrong with a connection string, or undefined. Quotes nothing of it. */
export function connectionStringFault(text: string): string | undefined {
  const pairs = parse(text.trim());
  return typeof pairs === 'string' ? pairs : pairs.map(([name, value]) => fault(name, value)).find(Boolean);
}

/** The parameters of a connection string. Throws a TypeError when `connectionStringFault` finds a fault. */
export function connectionParameters(text: string, origin: Origin): Parameters {
  const pairs = parse(text.trim());
  if (typeof pairs === 'string') throw new TypeError(pairs);
  // The last of several counts, and an empty value counts as none (libpq).
  const values = new Map(pairs.filter(([name, value]) => isKeyword(name) && value !== ''));
  const { password, ...rest } = Object.fromEntries(values);
  const parameters = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [name, { value, origin }]),
  );
  return password === undefined
    ? parameters
    : { ...parameters, password: { value: new Secret(password), origin } };
}

function fault(name: string, value: string): string | undefined {
  if (isKeyword(name)) return undefined;
  if (unusedKeywords.has(name)) return refusal(name, value);
  return 'it has a parameter that libpq does not know; check for a misspelled name, or an unescaped character in the password';
}

/** The pairs, or what is wrong with the text. */
function parse(text: string): Pairs | string {
  const [, scheme, rest = ''] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text) ?? [];
  if (scheme === 'postgres' || scheme === 'postgresql') return parseUrl(rest);
  if (scheme !== undefined) return 'its scheme is neither postgres:// nor postgresql://';
  return rest.includes('=')
    ? parseKeywords(text)
    : 'it is neither a postgres:// URL nor keywords such as host=db';
}

const escapeHint = 'write @ : / ? # % and spaces in the user and the password as %40 %3A %2F %3F %23 %25 %20';

/** [user[:password]@][host][:port][/dbname][?name=value&...] */
function parseUrl(text: string): Pairs | string {
  const end = text.search(/[/?#]/);
  const authority = end === -1 ? text : text.slice(0, end);
  const [, path = '', query = '', rest = ''] =
    /^(?:\/([^?#]*))?(?:\?([^#]*))?(.*)$/s.exec(text.slice(authority.length)) ?? [];
  if (rest !== '' || path.includes('@') || /\s/.test(text)) return escapeHint;

  const at = authority.lastIndexOf('@');
  const [user, ...password] = authority.slice(0, Math.max(0, at)).split(':');
  const hostAndPort = authority.slice(at + 1);
  if (hostAndPort.includes(',')) return 'it names several hosts; set the one to monitor';
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(hostAndPort) ?? [];
  if (bracketed === undefined && plain === undefined) return `its host or port cannot be read; ${escapeHint}`;

  const encoded: [string, string][] = [
    ['user', user ?? ''],
    ['password', password.join(':')],
    ['host', bracketed ?? plain ?? ''],
    ['port', port ?? ''],
    ['dbname', path],
  ];
  for (const pair of query === '' ? [] : query.split('&')) {
    const [name, ...value] = pair.split('=');
    if (name === undefined || value.length !== 1)
      return `a parameter after ? is not of the form name=value; ${escapeHint}`;
    encoded.push([name, value[0] ?? '']);
  }
  try {
    return encoded
      .filter(([, value]) => value !== '')
      .map(([name, value]) => urlPair(decodeURIComponent(name), decodeURIComponent(value)));
  } catch {
    return `it has a % that is not followed by two hexadecimal digits; ${escapeHint}`;
  }
}

/** libpq accepts JDBC's ssl=true as sslmode=require. */
const urlPair = (name: string, value: string): readonly [string, string] =>
  name === 'ssl' && value === 'true' ? ['sslmode', 'require'] : [name, value];

/** name=value, separated by spaces; values can be in single quotes; a backslash escapes the next character. */
function parseKeywords(text: string): Pairs | string {
  const pairs: [string, string][] = [];
  const pair = /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'(?=\s|$)|((?!')(?:[^\s\\]|\\.)*)(?=\s|$))\s*/sy;
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text);
    if (match === null) {
      return `keyword ${pairs.length + 1} is not of the form name=value; put values with spaces in single quotes, and write ' and \\ with a backslash before them`;
    }
    const [, name = '', quotedValue, plainValue = ''] = match;
    pairs.push([name, (quotedValue ?? plainValue).replace(/\\(.)/gs, '$1')]);
  }
  return pairs;
}
