/**
 * Reading what the API server sent without believing it: the helpers under every `...Of` of this folder.
 *
 * What is missing or null is what the API means by that ('', 0, false, nothing). What is there but of a wrong type
 * is absent where its type allows that, and refuses the whole object where leaving it out would look like health.
 */

/** A trimmed object, or why what came is none. Never thrown. */
export type Parsed<T> =
  | { readonly ok: true; readonly object: T }
  | { readonly ok: false; readonly why: string };

export type Fields = Readonly<Record<string, unknown>>;

/** Refuses an object; caught by `parsed` and by nobody else. */
export class Malformed extends Error {}

export function parsed<T>(make: () => T): Parsed<T> {
  try {
    return { ok: true, object: make() };
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, why: error.message };
    throw error;
  }
}

/** The object of a kind. Items of a list carry no kind; what carries another one is refused. */
export function objectOf(raw: unknown, kind: string): Fields {
  if (!isFields(raw)) throw new Malformed(`not an object where a ${kind} should be`);
  const told = raw['kind'];
  if (told !== undefined && told !== kind) throw new Malformed(`not a ${kind} but of kind ${shown(told)}`);
  return raw;
}

/** The fields of an object; none when there is no object. */
export const fields = (value: unknown): Fields => (isFields(value) ? value : none);

/** Members of an array; none when there is no array. More than any real object has are left out. */
export function members(value: unknown, most = 512): readonly unknown[] {
  if (!Array.isArray(value)) return [];
  return value.length <= most ? value : value.slice(0, most);
}

/** A text, cut to `most` UTF-16 units; '' when there is none. */
export const text = (value: unknown, most = 512): string =>
  typeof value !== 'string' ? '' : value.length <= most ? value : cut(value, most);

/** What names something: required, and never cut, because half a name names something else. */
export function name(value: unknown, what: string, most = 253): string {
  if (typeof value !== 'string' || value === '' || value.length > most)
    throw new Malformed(`${what} is ${shown(value)}`);
  return value;
}

/** A whole number from 0 on; 0 when it is missing, as the API leaves zeros out. Refuses anything else. */
export function count(value: unknown, what: string): number {
  if (value === undefined || value === null) return 0;
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
  throw new Malformed(`${what} is ${shown(value)}`);
}

/** true or false; false when it is missing. Refuses anything else. */
export function flag(value: unknown, what: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  throw new Malformed(`${what} is ${shown(value)}`);
}

export const integer = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) ? Number(value) : undefined;

/** A part of a longer string, as a string of its own: V8's slices keep the whole text alive. */
export const cut = (value: string, most: number): string =>
  Buffer.from(value.slice(0, most), 'utf8').toString('utf8');

const none: Fields = Object.freeze({});

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** For a message: short, on one line. */
const shown = (value: unknown): string =>
  value === undefined
    ? 'missing'
    : typeof value === 'string'
      ? JSON.stringify(value.length <= 40 ? value : `${cut(value, 40)}...`)
      : typeof value === 'object'
        ? 'of a wrong type'
        : String(value);
