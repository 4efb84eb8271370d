/** Kubernetes' times: RFC 3339, whole seconds or (MicroTime) with a fraction. */

const form =
  /^\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Milliseconds since 1970. Undefined when it is no time, and for Go's zero time, which says that there is none. */
export function timeOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || value.length > 40 || !form.test(value)) return undefined;
  // Date.parse takes February 30th for March 2nd.
  const day = Number(value.slice(8, 10));
  if (day > 28 && day > daysOf(Number(value.slice(0, 4)), Number(value.slice(5, 7)))) return undefined;
  const time = Date.parse(value);
  return Number.isNaN(time) || time === zeroTime ? undefined : time;
}

const zeroTime = Date.parse('0001-01-01T00:00:00Z');

const daysOf = (year: number, month: number): number =>
  new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
