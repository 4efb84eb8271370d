/**
 * Reads PostgreSQL's binary COPY format (documentation of COPY, "Binary Format") from chunks that may break anywhere.
 * It creates no object per tuple: the callback gets the bytes and the position of each field.
 */
import { bytesText } from '../../../lib/format.ts';
import { UnacceptableRows } from '../database.ts';

/** One row of the stream, with its fields by position. Valid only during the callback. */
export interface CopyTuple {
  readonly bytes: Buffer;
  isNull(field: number): boolean;
  /** Where the field's bytes start and end in `bytes`. */
  start(field: number): number;
  end(field: number): number;
  /** The upper and lower half of an int8. */
  high(field: number): number;
  low(field: number): number;
  /** A timestamptz in seconds since 1970; 0 for null. */
  seconds(field: number): number;
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** Seconds from 1970 to 2000-01-01 UTC, since which a binary timestamp counts microseconds. */
const postgresEpoch = 946_684_800;
const headerLength = signature.length + 8;
/** A row has a few names, a path and numbers. */
const maxTupleBytes = 1024 * 1024;

const malformed = (what: string): UnacceptableRows => new UnacceptableRows('parse', what);

export interface CopyReader {
  /** Throws UnacceptableRows when the bytes are not in the format; nothing after that is valid. */
  feed(chunk: Buffer): void;
  /** Throws UnacceptableRows when the stream ended before its trailer, so the result is incomplete. */
  end(): void;
}

/** @param fields the number of fields of each tuple  @param onTuple called once per tuple, in order */
export function createCopyReader(fields: number, onTuple: (tuple: CopyTuple) => void): CopyReader {
  const starts = new Int32Array(fields);
  const lengths = new Int32Array(fields);
  let bytes: Buffer = Buffer.alloc(0);
  let headerRead = false;
  let finished = false;

  const tuple: CopyTuple = {
    get bytes() {
      return bytes;
    },
    isNull: (field) => (lengths[field] ?? -1) < 0,
    start: (field) => starts[field] ?? 0,
    end: (field) => (starts[field] ?? 0) + (lengths[field] ?? 0),
    high: (field) => bytes.readInt32BE(starts[field] ?? 0),
    low: (field) => bytes.readInt32BE((starts[field] ?? 0) + 4),
    seconds: (field) =>
      (lengths[field] ?? -1) < 0
        ? 0
        : (bytes.readInt32BE(starts[field] ?? 0) * 2 ** 32 + bytes.readUInt32BE((starts[field] ?? 0) + 4)) /
            1e6 +
          postgresEpoch,
  };

  /** The position after the tuple that starts at `at`, or undefined when its end has not arrived yet. */
  const readTuple = (at: number): number | undefined => {
    if (at + 2 > bytes.length) return undefined;
    const count = bytes.readInt16BE(at);
    let position = at + 2;
    if (count === -1) {
      finished = true;
      return position;
    }
    if (count !== fields) throw malformed(`COPY sent ${count} fields, expected ${fields}`);
    for (let field = 0; field < fields; field++) {
      if (position + 4 > bytes.length) return undefined;
      const length = bytes.readInt32BE(position);
      position += 4;
      if (length < -1 || length > maxTupleBytes) throw malformed(`COPY sent a field of length ${length}`);
      starts[field] = position;
      lengths[field] = length;
      if (length > 0) position += length;
    }
    if (position > bytes.length) return undefined;
    onTuple(tuple);
    return position;
  };

  return {
    feed(chunk) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      let at = 0;
      if (!headerRead) {
        if (bytes.length < headerLength) return;
        if (!bytes.subarray(0, signature.length).equals(signature))
          throw malformed('not a binary COPY stream');
        const extension = bytes.readInt32BE(signature.length + 4);
        if (extension < 0 || extension > maxTupleBytes)
          throw malformed(`a COPY header with an extension of ${extension} bytes`);
        at = headerLength + extension;
        if (bytes.length < at) return;
        headerRead = true;
      }
      while (!finished) {
        const next = readTuple(at);
        if (next === undefined) break;
        at = next;
      }
      bytes = bytes.subarray(at);
      if (!finished && bytes.length > maxTupleBytes)
        throw new UnacceptableRows('too_large', `COPY sent a row of over ${bytesText(maxTupleBytes)}`);
    },
    end() {
      if (!finished) throw malformed('the COPY stream ended before its trailer');
    },
  };
}
