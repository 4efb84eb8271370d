/**
 * How values arrive: what fits a JavaScript number exactly becomes one, booleans become booleans, everything else
 * stays the text that PostgreSQL wrote. Given to each connection; pg's own parsers, which are global and make
 * local-time Dates of UTC timestamps, stay as they are.
 */

/** OIDs of pg_type.dat; they never change. */
const bool = 16;
const numbers: ReadonlySet<number> = new Set([
  21, // int2
  23, // int4
  26, // oid
  700, // float4
  701, // float8
]);

const asNumber = (text: string): number => Number(text);
const asBoolean = (text: string): boolean => text === 't';
const asText = (text: string): string => text;

/** pg asks it for each column of a result. */
export function parserFor(oid: number): (text: string) => number | boolean | string {
  if (numbers.has(oid)) return asNumber;
  return oid === bool ? asBoolean : asText;
}
