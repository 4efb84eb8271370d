/**
 * The items of a list, one by one, while the answer still comes: a list of thousands of objects with managedFields
 * is tens of megabytes, which JSON.parse would hold the event loop for, and the heap.
 */

/** Not JSON as far as it was read, or an object over the limit. */
export class MalformedList extends Error {}

/** The text of one object, or, last, of the list without its objects, which says the rest (metadata). */
export type ListPart =
  | { readonly kind: 'item'; readonly text: string }
  | { readonly kind: 'rest'; readonly text: string };

/**
 * The objects are those of the array `items` of the outermost object. Throws MalformedList when an object or the rest is over `mostBytes`, and
 * when the end is missing; whether what it gives is JSON, JSON.parse says.
 */
export async function* itemsOf(
  bytes: AsyncIterable<Uint8Array>,
  mostBytes: number,
): AsyncGenerator<ListPart> {
  let depth = 0;
  let inString = false;
  let escaped = false;
  let inItems = false;
  /** The last string of the outermost object, or its beginning while it is not over. */
  let key = '';
  const rest = collector(mostBytes);
  const item = collector(mostBytes);

  for await (const chunk of bytes) {
    const part = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    /** Up to here the part has been put where it belongs. */
    let from = 0;
    let stringFrom = 0;
    for (let at = 0; at < part.length; at++) {
      const byte = part[at];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === 0x5c /* \ */) escaped = true;
        else if (byte === 0x22 /* " */) {
          inString = false;
          if (depth === 1) key = beginning(key, part, stringFrom, at);
        }
        continue;
      }
      switch (byte) {
        case 0x22 /* " */:
          inString = true;
          stringFrom = at + 1;
          if (depth === 1) key = '';
          break;
        case 0x7b /* { */:
        case 0x5b /* [ */:
          if (depth === 1) inItems = byte === 0x5b && key === 'items';
          else if (depth === 2 && inItems) {
            rest.add(part.subarray(from, at));
            from = at;
          }
          depth += 1;
          break;
        case 0x7d /* } */:
        case 0x5d /* ] */:
          depth -= 1;
          if (depth === 2 && inItems) {
            item.add(part.subarray(from, at + 1));
            from = at + 1;
            yield { kind: 'item', text: item.take() };
          }
      }
    }
    (depth > 2 && inItems ? item : rest).add(part.subarray(from));
    if (inString && depth === 1) key = beginning(key, part, stringFrom, part.length);
  }
  if (depth !== 0 || inString) throw new MalformedList('it ends in the middle');
  yield { kind: 'rest', text: withoutCommas(rest.take()) };
}

/** Long enough to tell `items` from other keys. */
const beginning = (before: string, part: Buffer, from: number, to: number): string =>
  before.length > 16 ? before : before + part.toString('latin1', from, Math.min(to, from + 16));

/** Where the items were, their commas are left. */
const withoutCommas = (text: string): string => text.replace(/("items"\s*:\s*\[)[\s,]*\]/, '$1]');

function collector(mostBytes: number): { add(part: Buffer): void; take(): string } {
  let parts: Buffer[] = [];
  let length = 0;
  return {
    add(part) {
      if (part.length === 0) return;
      length += part.length;
      if (length > mostBytes) throw new MalformedList(`an object in it is over ${mostBytes} bytes`);
      parts.push(part);
    },
    take() {
      const text = (parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts)).toString(
        'utf8',
      );
      parts = [];
      length = 0;
      return text;
    },
  };
}
