/** The lines of a watch, from bytes as they come. */

export const tooLong: unique symbol = Symbol('a line beyond the limit');

const lineFeed = 0x0a;

/**
 * Whole lines only, empty ones left out. A line over `mostBytes` comes as `tooLong` and is never held. What is left
 * at the end without a line feed was cut off, and is not given.
 */
export async function* linesOf(
  bytes: AsyncIterable<Uint8Array>,
  mostBytes: number,
): AsyncGenerator<Buffer | typeof tooLong> {
  let held: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    const part = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let end = part.indexOf(lineFeed); end >= 0; end = part.indexOf(lineFeed, from)) {
      length += end - from;
      if (length > mostBytes) yield tooLong;
      else if (length > 0) {
        held.push(part.subarray(from, end));
        yield held.length === 1 ? (held[0] ?? part) : Buffer.concat(held);
      }
      held = [];
      length = 0;
      from = end + 1;
    }
    if (from === part.length) continue;
    length += part.length - from;
    if (length > mostBytes) held = [];
    else held.push(part.subarray(from));
  }
}
