/** Splits streamed responses: the items of a list, the lines of a watch; and ends streams without data. */
import type { Clock } from '../../../lib/clock.ts';
import { bytesText } from '../../../lib/format.ts';
import { BrokenStream } from '../api/api.ts';
import { createByteBuffer } from '../api/byte-buffer.ts';

export const oversizedLine: unique symbol = Symbol('a line beyond the limit');

const lineFeed = 0x0a;
/** The API server sends none. */
const maxEmptyLines = 10_000;

/**
 * Complete, non-empty lines. A line over `maxBytes` is yielded as `oversizedLine` and not kept in memory. A last
 * line without a line feed was cut off, and is not yielded.
 */
export async function* linesOf(
  bytes: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Buffer | typeof oversizedLine> {
  const start = createByteBuffer();
  let length = 0;
  let emptyLines = 0;
  for await (const chunk of bytes) {
    const part = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let end = part.indexOf(lineFeed); end >= 0; end = part.indexOf(lineFeed, from)) {
      length += end - from;
      if (length > maxBytes) yield oversizedLine;
      else if (length > 0) {
        const rest = part.subarray(from, end);
        if (start.length > 0) start.add(rest);
        yield start.length > 0 ? start.take() : rest;
      } else if (++emptyLines > maxEmptyLines)
        throw new BrokenStream({
          reason: 'too_large',
          message: `the API server sent more than ${maxEmptyLines} empty lines`,
        });
      if (start.length > 0) start.take();
      length = 0;
      from = end + 1;
    }
    if (from === part.length) continue;
    length += part.length - from;
    if (length <= maxBytes) start.add(part.subarray(from));
    else if (start.length > 0) start.take();
  }
}

/** The bytes, until there are more than `maxBytes`: then it throws BrokenStream with reason too_large. */
export async function* withinBytes(
  bytes: AsyncIterable<Uint8Array>,
  maxBytes: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  for await (const part of bytes) {
    received += part.length;
    if (received > maxBytes)
      throw new BrokenStream({
        reason: 'too_large',
        message: `the API server sent more than ${bytesText(maxBytes)} as ${what}`,
      });
    yield part;
  }
}

/** Not JSON as far as it was read, or an object over the limit. */
export class MalformedList extends Error {}

/** One object of the list, or, last, the list without its objects (metadata). */
interface ListPart {
  readonly kind: 'item' | 'rest';
  readonly bytes: Buffer;
}

/**
 * The elements of the array `items` of the outermost object, while the response arrives: a list of thousands of
 * objects is tens of megabytes, for which JSON.parse would block the event loop and fill the heap. Throws
 * MalformedList when an object or the rest is over `maxBytes`, and when the end is missing. Parts are not
 * validated; JSON.parse does that.
 */
export async function* itemsOf(bytes: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<ListPart> {
  const scanner = createItemScanner();
  const rest = createCollector(maxBytes);
  const item = createCollector(maxBytes);
  for await (const chunk of bytes) {
    const part = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (const { at, isEnd } of scanner.read(part)) {
      (isEnd ? item : rest).add(part.subarray(from, at));
      from = at;
      if (isEnd) yield { kind: 'item', bytes: item.take() };
    }
    (scanner.isInItem() ? item : rest).add(part.subarray(from));
  }
  if (!scanner.isComplete()) throw new MalformedList('it is cut off');
  yield { kind: 'rest', bytes: withoutCommas(rest.take()) };
}

/** The start or the end of an item. */
interface ItemBoundary {
  readonly at: number;
  readonly isEnd: boolean;
}

interface ItemScanner {
  /** Boundaries in the next part, in order. */
  read(part: Buffer): readonly ItemBoundary[];
  isInItem(): boolean;
  isComplete(): boolean;
}

/** Tracks strings and depth only. Plain loops over bytes: a generator took twenty times as long. */
function createItemScanner(): ItemScanner {
  let lastDepth = 0;
  let wasInString = false;
  let wasEscaped = false;
  let isInItems = false;
  /** The last string of the outermost object, as far as it has arrived. */
  let key = '';

  function read(part: Buffer): readonly ItemBoundary[] {
    const boundaries: ItemBoundary[] = [];
    let depth = lastDepth;
    let isInString = wasInString;
    let isEscaped = wasEscaped;
    let stringFrom = 0;
    for (let at = 0; at < part.length; at++) {
      const byte = part[at];
      if (isInString) {
        if (isEscaped) isEscaped = false;
        else if (byte === backslash) isEscaped = true;
        else if (byte === quote) {
          isInString = false;
          if (depth === 1) key = extendKey(key, part, stringFrom, at);
        }
      } else if (byte === quote) {
        isInString = true;
        stringFrom = at + 1;
        if (depth === 1) key = '';
      } else if (byte === brace || byte === bracket) {
        if (depth === 1) isInItems = byte === bracket && key === 'items';
        else if (depth === 2 && isInItems) boundaries.push({ at, isEnd: false });
        depth += 1;
      } else if (byte === closingBrace || byte === closingBracket) {
        depth -= 1;
        if (depth === 2 && isInItems) boundaries.push({ at: at + 1, isEnd: true });
      }
    }
    if (isInString && depth === 1) key = extendKey(key, part, stringFrom, part.length);
    lastDepth = depth;
    wasInString = isInString;
    wasEscaped = isEscaped;
    return boundaries;
  }

  return {
    read,
    isInItem: () => isInItems && lastDepth > 2,
    isComplete: () => lastDepth === 0 && !wasInString,
  };
}

const quote = 0x22;
const backslash = 0x5c;
const brace = 0x7b;
const bracket = 0x5b;
const closingBrace = 0x7d;
const closingBracket = 0x5d;

/** Only as long as needed to distinguish `items` from other keys. */
const extendKey = (start: string, part: Buffer, from: number, to: number): string =>
  start.length > 16 ? start : start + part.toString('latin1', from, Math.min(to, from + 16));

/** The commas between the items are left in the rest. */
const withoutCommas = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.toString('utf8').replace(/("items"\s*:\s*\[)[\s,]*\]/, '$1]'), 'utf8');

function createCollector(maxBytes: number): { add(part: Buffer): void; take(): Buffer } {
  const buffer = createByteBuffer();
  return {
    add(part) {
      if (part.length === 0) return;
      if (buffer.length + part.length > maxBytes)
        throw new MalformedList(`one of its objects is over ${maxBytes} bytes`);
      buffer.add(part);
    },
    take: () => buffer.take(),
  };
}

interface IdleTimeoutOptions {
  readonly clock: Clock;
  /** Ends the connection, and with it the wait for the next byte. */
  readonly connection: AbortController;
  /** How long may pass without a byte; read again each time. */
  readonly timeoutMs: () => number;
}

/** The timeout may become shorter while the stream is idle, so it is read at least this often. */
const recheckMs = 15_000;

/**
 * The bytes, until none arrive for `timeoutMs`: then it throws BrokenStream with reason timeout. That finds a peer
 * that died without closing the connection, and a proxy that dropped it.
 */
export async function* withIdleTimeout(
  bytes: AsyncIterable<Uint8Array>,
  { clock, connection, timeoutMs }: IdleTimeoutOptions,
): AsyncGenerator<Uint8Array> {
  let lastByteAt = clock.monotonic();
  let timedOutAfterMs: number | undefined;
  const done = new AbortController();

  async function watchIdleTime(): Promise<void> {
    while (!done.signal.aborted) {
      const idleMs = clock.monotonic() - lastByteAt;
      if (idleMs >= timeoutMs()) {
        timedOutAfterMs = idleMs;
        return connection.abort();
      }
      await clock.sleep(Math.min(recheckMs, timeoutMs() - idleMs), done.signal);
    }
  }

  void watchIdleTime();
  try {
    for await (const part of bytes) {
      lastByteAt = clock.monotonic();
      yield part;
      // The time in which the consumer processed the part is not idle time of the server.
      lastByteAt = clock.monotonic();
    }
  } catch (error) {
    if (timedOutAfterMs === undefined) throw error;
    const seconds = Math.round(timedOutAfterMs / 1000);
    throw new BrokenStream({
      reason: 'timeout',
      message: `the API server sent no data for ${seconds} s on an open connection`,
    });
  } finally {
    done.abort();
  }
}
