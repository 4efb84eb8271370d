/** A value, or the reason why it is unknown, so that a failed read never passes for a value. */

export interface Unknown {
  /** The reason, for people: what could not be read, and how to fix it. No secrets. */
  readonly unknown: string;
  /** There is no such value (no Kubernetes, no Praefect), so that nothing has to be fixed. */
  readonly notApplicable?: boolean;
}

export type Known<T> =
  | {
      readonly value: T;
      /** Of a list: why some of what belongs to it could not be read. What it lacks is unknown, not absent. */
      readonly incomplete?: string;
    }
  | Unknown;

export const known = <T>(value: T): Known<T> => ({ value });
export const incompleteList = <T>(value: readonly T[], why: string): Known<readonly T[]> => ({
  value,
  incomplete: why,
});
export const unknown = (why: string): Unknown => ({ unknown: why });
export const notApplicable = (why: string): Unknown => ({ unknown: why, notApplicable: true });

export const isUnknown = <T>(fact: Known<T>): fact is Unknown => 'unknown' in fact;

/** Undefined, an empty string and NaN are unknown. */
export const present = <T extends string | number | boolean>(value: T | undefined, why: string): Known<T> =>
  value === undefined || value === '' || Number.isNaN(value) ? unknown(why) : known(value);

/** An amount that was measured; undefined for what is unknown, infinite or negative. */
export const knownAmount = (fact: Known<number>): number | undefined =>
  isUnknown(fact) || !Number.isFinite(fact.value) || fact.value < 0 ? undefined : fact.value;

/** For what depends on everything in a list: unknown where the list is incomplete. */
export const whole = <T>(fact: Known<T>): Known<T> =>
  isUnknown(fact) || fact.incomplete === undefined ? fact : unknown(fact.incomplete);

/** An incomplete list counts as unknown. */
export function mapKnown<T, U>(fact: Known<T>, map: (value: T) => Known<U>): Known<U> {
  const given = whole(fact);
  return isUnknown(given) ? given : map(given.value);
}
