/**
 * Helpers that read untrusted JSON of the API server; every parser of this folder is built on them.
 *
 * A missing or null field means what the API means by it ('', 0, false, no value). A field of the wrong type becomes
 * undefined where the object's type allows that. Where dropping it would make the object look healthy, the whole
 * object is rejected.
 */

import { outsideText } from '../../../lib/outside-text.ts';

/** The trimmed object, or the reason why the input was rejected. Parsers never throw. */
export type Parsed<T> =
  | { readonly ok: true; readonly object: T }
  | { readonly ok: false; readonly why: string };

export type Fields = Readonly<Record<string, unknown>>;

/** Rejects an object; only `parsed` catches it. */
export class Malformed extends Error {}

export function parsed<T>(make: () => T): Parsed<T> {
  try {
    return { ok: true, object: make() };
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, why: error.message };
    throw error;
  }
}

/** Items of a list carry no kind; any other kind than the expected one is rejected. */
export function objectOf(raw: unknown, kind: string): Fields {
  if (!isFields(raw)) throw new Malformed(`expected an object of kind ${kind}`);
  const found = raw['kind'];
  if (found !== undefined && found !== kind)
    throw new Malformed(`expected kind ${kind}, found ${shortText(found)}`);
  return raw;
}

/** An empty record where the value is not an object. */
export const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : noFields);

/**
 * An empty list where the value is not an array. Elements beyond `max`, more than any real object has, are
 * dropped.
 */
export function elementsOf(value: unknown, max = 512): readonly unknown[] {
  if (!Array.isArray(value)) return [];
  return value.length <= max ? value : value.slice(0, max);
}

/** A string, printable and cut to `max` UTF-16 units; '' where the value is not a string. */
export function textOf(value: unknown, max = 512): string {
  if (typeof value !== 'string') return '';
  const short = value.length <= max ? value : cut(value, max);
  return isPrintable(short) ? short : outsideText(short, [], max);
}

/** Text for people, on one line of a few hundred bytes. */
export const messageOf = (value: unknown): string =>
  typeof value === 'string' ? outsideText(value, [], maxMessageBytes) : '';

const maxMessageBytes = 500;
/** Control characters, line separators, invisible formatting and halves of surrogate pairs. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const printableAscii = /^[ -~]*$/;

/** ASCII, as nearly all is, in a fifth of the time that Unicode takes. */
const isPrintable = (value: string): boolean => printableAscii.test(value) || !unprintable.test(value);

/** A required name. It is rejected rather than cut, because a cut name identifies another object. */
export function nameIn(value: unknown, what: string, max = 253): string {
  if (typeof value !== 'string' || value === '' || value.length > max || !isPrintable(value))
    throw new Malformed(`${what} is ${shortText(value)}`);
  return value;
}

/** Counts are int32 in the API; generations are int64. */
const maxInt32 = 2 ** 31 - 1;

/** An integer from 0 to `max`; 0 when missing, as the API omits zeros. Rejects anything else. */
export function countOf(value: unknown, what: string, max = maxInt32): number {
  if (value === undefined || value === null) return 0;
  if (Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= max) return Number(value);
  throw new Malformed(`${what} is ${shortText(value)}`);
}

/** A boolean; false when missing. Rejects anything else. */
export function flagOf(value: unknown, what: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  throw new Malformed(`${what} is ${shortText(value)}`);
}

export const integerOf = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) ? Number(value) : undefined;

/** The start of a longer string as a copy: a slice in V8 keeps the whole string in memory. */
export const cut = (value: string, max: number): string =>
  Buffer.from(value.slice(0, max), 'utf8').toString('utf8');

const noFields: Fields = Object.freeze({});

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** For messages: short, on one line. */
export const shortText = (value: unknown): string =>
  value === undefined
    ? 'missing'
    : typeof value === 'string'
      ? JSON.stringify(outsideText(value, [], 43))
      : typeof value === 'object'
        ? 'of a wrong type'
        : String(value);

/** RFC 3339, in whole seconds (Time) or with a fraction (MicroTime). */
const timeForm =
  /^\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Milliseconds since 1970. Undefined for anything else than a time, and for Go's zero time, which means unset. */
export function timeOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || value.length > 40 || !timeForm.test(value)) return undefined;
  // Date.parse reads February 30 as March 2.
  const day = digitAt(value, 8) * 10 + digitAt(value, 9);
  if (day > 28 && day > daysInMonth(Number(value.slice(0, 4)), Number(value.slice(5, 7)))) return undefined;
  const time = Date.parse(value);
  return Number.isNaN(time) || time === goZeroTime ? undefined : time;
}

const goZeroTime = Date.parse('0001-01-01T00:00:00Z');

const digitAt = (value: string, at: number): number => value.charCodeAt(at) - 48;

const daysInMonth = (year: number, month: number): number =>
  new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();

/** `100m`, `1.5`, `10Gi`, `1e3`, `12E` */
const quantityForm = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,4})|([KMGTPE]i)|([numkMGTPE]))?$/;

const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binaryExponents: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };

/**
 * A Kubernetes quantity in bytes or cores; undefined for anything else. The grammar is that of
 * k8s.io/apimachinery/pkg/api/resource: a decimal suffix, a binary suffix or an exponent. `12E` is 12 exa, `12E3`
 * has an exponent.
 */
export function quantityOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || value.length > 64) return undefined;
  const found = quantityForm.exec(value);
  if (found === null) return undefined;
  const [, digits = '', exponent, binarySuffix, decimalSuffix] = found;
  const number =
    binarySuffix !== undefined
      ? Number(digits) * 2 ** (binaryExponents[binarySuffix] ?? Number.NaN)
      : // Parsed as one literal, it is rounded once: 100m is the float nearest to 0.1.
        Number(
          `${digits}e${exponent ?? (decimalSuffix === undefined ? 0 : decimalExponents[decimalSuffix])}`,
        );
  return Number.isFinite(number) ? number : undefined;
}
