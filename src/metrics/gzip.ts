/**
 * gzip whose compressed parts are reusable: one gzip member, joined from independent deflate streams
 * that are kept as long as their input.
 *
 * One member per part would be valid (RFC 1952) and Prometheus reads it, but curl stops with an error after the
 * first member, and Chromium shows only the first (docs/decisions/0002-exposition.md).
 */
import { promisify } from 'node:util';
import { constants, crc32, deflateRaw, deflateRawSync } from 'node:zlib';

const deflateRawAsync = promisify(deflateRaw);

/** RFC 1952, 2.3: magic, deflate, no flags, no time, "fastest", unknown system. */
const memberHeader = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]);

/** On 8 MB of this kind of text, a fifth of the time of level 6, for a sixth more bytes. */
const level = constants.Z_BEST_SPEED;

const deflated = new WeakMap<Buffer, Promise<Buffer>>();

/**
 * Compresses off the event loop, once for each Buffer, which must not change afterwards. A sync flush ends the
 * part on a byte boundary without marking it as the last, so that any other part can follow.
 */
export function deflatePart(part: Buffer): Promise<Buffer> {
  let compressed = deflated.get(part);
  if (compressed === undefined) {
    compressed = deflateRawAsync(part, { level, finishFlush: constants.Z_SYNC_FLUSH });
    // A failure (out of memory) reaches this caller; the next one tries again.
    compressed.catch(() => deflated.delete(part));
    deflated.set(part, compressed);
  }
  return compressed;
}

/** `parts`, then `tail` (short, compressed synchronously), as one gzip stream in pieces. */
export async function gzipParts(parts: readonly Buffer[], tail: Buffer): Promise<Buffer[]> {
  const compressed = await Promise.all(parts.map(deflatePart));
  let checksum = 0;
  let length = 0;
  for (const part of [...parts, tail]) {
    checksum = crc32(part, checksum);
    length += part.length;
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  return [memberHeader, ...compressed, deflateRawSync(tail), trailer];
}
