/**
 * JSON of one object, without its managedFields: nearly half of a pod's bytes and of the time that JSON.parse takes
 * (13 KB: 110 us with, 60 without), and nobody here reads them.
 */

const opening = Buffer.from('"managedFields":[');
const quote = 0x22;
const backslash = 0x5c;
const bracket = 0x5b;
const closingBracket = 0x5d;

/** Throws SyntaxError as JSON.parse does. */
export function parseObject(bytes: Buffer): unknown {
  const from = bytes.indexOf(opening);
  // Within a string, an annotation's say, its quotes would be escaped.
  if (from < 0 || bytes[from - 1] === backslash) return JSON.parse(bytes.toString('utf8'));
  const inside = from + opening.length;
  const end = endOfArray(bytes, inside);
  return JSON.parse(bytes.toString('utf8', 0, inside) + bytes.toString('utf8', end));
}

/** Where the bracket is that closes the array; the end of all when there is none. */
function endOfArray(bytes: Buffer, from: number): number {
  let depth = 1;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) at = endOfString(bytes, at + 1);
    else if (byte === bracket) depth += 1;
    else if (byte === closingBracket) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return bytes.length;
}

function endOfString(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === backslash) at += 1;
    else if (byte === quote) return at;
  }
  return bytes.length;
}
