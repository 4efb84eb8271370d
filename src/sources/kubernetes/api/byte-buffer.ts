/** Bytes that arrive in parts. A list of parts costs some 100 bytes for each, and a peer may send one byte at a time. */
export interface ByteBuffer {
  readonly length: number;
  add(part: Uint8Array): void;
  /** Everything since the last call; the caller owns it. */
  take(): Buffer;
}

const minCapacity = 1024;

export function createByteBuffer(): ByteBuffer {
  let bytes = Buffer.alloc(0);
  let length = 0;
  return {
    get length() {
      return length;
    },
    add(part) {
      if (length + part.length > bytes.length) {
        const larger = Buffer.allocUnsafe(Math.max(minCapacity, 2 * bytes.length, length + part.length));
        bytes.copy(larger, 0, 0, length);
        bytes = larger;
      }
      bytes.set(part, length);
      length += part.length;
    },
    take() {
      const taken = bytes.subarray(0, length);
      bytes = Buffer.alloc(0);
      length = 0;
      return taken;
    },
  };
}
