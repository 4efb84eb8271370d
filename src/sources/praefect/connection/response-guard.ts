/**
 * Bounds on what a server sends, checked on the bytes of PostgreSQL's protocol before pg sees them: pg collects a
 * message of any declared length (900 MB for one row), and the rows of a result until memory is full.
 */
import { bytesText } from '../../../lib/format.ts';
import type { ResponseBounds } from '../database.ts';
import type { DatabaseFault } from './fault.ts';

/** Until the first statement: authentication, parameters, the server's version. */
export const loginBounds: ResponseBounds = { rows: 10, bytes: 256 * 1024 };
/** Results that are kept in memory. The largest are some thousand rows. */
export const rowsBounds: ResponseBounds = { rows: 100_000, bytes: 16 * 1024 * 1024 };
/** Streams of rows that are processed one by one: five million repositories with three replicas. */
export const copyBounds: ResponseBounds = { rows: 20_000_000, bytes: 2 * 1024 * 1024 * 1024 };

/** Notices, parameters and other messages next to the rows: each costs pg some objects. */
const maxOtherMessages = 10_000;
/** One message: a row, an error, an authentication step. */
const maxMessageBytes = 1024 * 1024;
/** RowDescription takes at least 19 bytes per column. */
const maxDescriptionBytes = 64 * 1024;
const types = { copyData: 0x64, dataRow: 0x44, rowDescription: 0x54 } as const;
/** Messages of a server up to its first ReadyForQuery and the result of one query. */
const loginTypes: ReadonlySet<string> = new Set('RSKENZvTDCG');
const headerLength = 5;

export interface ResponseGuard {
  /** Resets the counts for the next statement. */
  expect(bounds: ResponseBounds): void;
  /** Why the connection must be closed; the chunk must then not be processed. */
  check(chunk: Buffer): DatabaseFault | undefined;
  /** Received since the last `expect`. */
  bytes(): number;
}

export function createResponseGuard(): ResponseGuard {
  let bounds = loginBounds;
  let rows = 0;
  let others = 0;
  let bytes = 0;
  const header = Buffer.alloc(headerLength);
  let headerBytes = 0;
  /** Of the body of the current message. */
  let missing = 0;

  function begin(): DatabaseFault | undefined {
    const type = header[0] ?? 0;
    const length = header.readUInt32BE(1);
    if (length < 4) return notPostgres;
    // A web server's `HTTP/1.1` would be a message of 1.4 GB.
    if (bounds === loginBounds && (!loginTypes.has(String.fromCharCode(type)) || length > bounds.bytes))
      return notPostgres;
    const most = type === types.rowDescription ? maxDescriptionBytes : maxMessageBytes;
    if (length > most)
      return tooLarge(`a message of ${bytesText(length)}, at most ${bytesText(most)} are expected`);
    if (type === types.dataRow || type === types.copyData) rows += 1;
    else others += 1;
    if (rows > bounds.rows) return tooLarge(`more than ${bounds.rows} rows`);
    if (others > maxOtherMessages)
      return tooLarge(`more than ${maxOtherMessages} messages that are not rows`);
    missing = length - 4;
    return undefined;
  }

  return {
    expect(next) {
      bounds = next;
      rows = 0;
      others = 0;
      bytes = 0;
    },
    check(chunk) {
      bytes += chunk.length;
      if (bytes > bounds.bytes) return tooLarge(`more than ${bytesText(bounds.bytes)}`);
      let at = 0;
      while (at < chunk.length) {
        if (missing > 0) {
          const end = Math.min(chunk.length, at + missing);
          missing -= end - at;
          at = end;
        } else {
          const end = Math.min(chunk.length, at + headerLength - headerBytes);
          chunk.copy(header, headerBytes, at, end);
          headerBytes += end - at;
          at = end;
          if (headerBytes < headerLength) break;
          headerBytes = 0;
          const fault = begin();
          if (fault !== undefined) return fault;
        }
      }
      return undefined;
    },
    bytes: () => bytes,
  };
}

const tooLarge = (what: string): DatabaseFault => ({
  reason: 'too_large',
  found: `the server sent ${what}`,
  fix: "check that Praefect's database is at this address, and the size of its tables",
});

const notPostgres: DatabaseFault = {
  reason: 'parse',
  found: "the server does not speak PostgreSQL's protocol",
  fix: 'check that PostgreSQL or PgBouncer listens at this address',
};
