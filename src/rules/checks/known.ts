/** What is known, or why it is not: nothing that could not be read may look like something that was. */

export interface Unknown {
  /** Why, for people: what could not be read, and the mend where there is one. No secrets. */
  readonly unknown: string;
  /** It is not there to be known (no Kubernetes is watched, no Praefect): nobody has to act on that. */
  readonly notApplicable?: boolean;
}

export type Known<T> = { readonly value: T } | Unknown;

export const known = <T>(value: T): Known<T> => ({ value });
export const unknown = (why: string): Unknown => ({ unknown: why });
export const notApplicable = (why: string): Unknown => ({ unknown: why, notApplicable: true });

export const isUnknown = <T>(fact: Known<T>): fact is Unknown => 'unknown' in fact;

/** The value of a fact that may be missing from an object: absent, empty text, or no number are not known. */
export const present = <T extends string | number | boolean>(value: T | undefined, why: string): Known<T> =>
  value === undefined || value === '' || Number.isNaN(value) ? unknown(why) : known(value);

export function mapKnown<T, U>(fact: Known<T>, map: (value: T) => Known<U>): Known<U> {
  return isUnknown(fact) ? fact : map(fact.value);
}
