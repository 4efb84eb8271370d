/** JSON of the API server before it is parsed as an object of a kind. */
import { fieldsOf } from '../objects/fields.ts';

/** metadata.resourceVersion; '' without one. */
export function resourceVersionOf(raw: unknown): string {
  const { resourceVersion } = fieldsOf(fieldsOf(raw)['metadata']);
  return typeof resourceVersion === 'string' && resourceVersion.length <= 64 ? resourceVersion : '';
}

/** resourceVersions of a cluster are increasing decimal numbers (guaranteed since Kubernetes 1.35, true before). */
export function isNewerVersion(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return version !== than;
  return version.length === than.length ? version > than : version.length > than.length;
}

/** Undefined when the text is not JSON. */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (isSyntaxError(error)) return undefined;
    throw error;
  }
}

/** By name: under jest the engine's own errors are of another realm. */
export const isSyntaxError = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'name' in error && error.name === 'SyntaxError';

const managedFields = Buffer.from('"managedFields":[');
/** From the end of managedFields to the start of the object's spec. */
const toSpec = Buffer.from(']},"spec":');
const toNoSpec = Buffer.from(']},"spec":0');
const uidKey = Buffer.from('"uid":"');
const uidLength = 36;
const quote = 0x22;
const backslash = 0x5c;
const opening = 0x7b;
const closing = 0x7d;
const bracket = 0x5b;
const closingBracket = 0x5d;
/** `[` and `]` differ from `{` and `}` in this bit only. */
const braceBit = 0x20;

/**
 * Parses one object without its managedFields, which are not used: they are nearly half of a pod's bytes and of
 * the time that JSON.parse takes (13 KB: 110 us with them, 60 without). Throws SyntaxError as JSON.parse does.
 */
export function parseObject(bytes: Buffer): unknown {
  const unused = managedFieldsIn(bytes);
  return JSON.parse(
    unused === undefined
      ? bytes.toString('utf8')
      : textOfParts(bytes.subarray(0, unused.from), bytes.subarray(unused.to)),
  );
}

const joined = Buffer.allocUnsafeSlow(65_536);

/** Parts are joined as bytes: strings would be copied once more, and leave garbage for each part. */
function textOfParts(...parts: readonly Buffer[]): string {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > joined.length) return Buffer.concat(parts).toString('utf8');
  let at = 0;
  for (const part of parts) at += part.copy(joined, at);
  return joined.toString('utf8', 0, length);
}

/** The inside of the array. */
function managedFieldsIn(bytes: Buffer): { readonly from: number; readonly to: number } | undefined {
  const at = bytes.indexOf(managedFields);
  // Inside a string, such as an annotation's, the quotes would be escaped.
  if (at < 0 || bytes[at - 1] === backslash) return undefined;
  const from = at + managedFields.length;
  const end = bytes.indexOf(closingBracket, from);
  // Recorded ones have no other brackets, and are the last of metadata: inside a string, the quotes would be escaped.
  const isLast =
    bytes.subarray(end, end + toSpec.length).equals(toSpec) && !bytes.subarray(from, end).includes(bracket);
  return { from, to: isLast ? end : closingIndex(bytes, from) };
}

interface LastSpec {
  readonly json: Buffer;
  readonly spec: unknown;
}

/** Some 20 KB for each. */
const maxSpecs = 16;
const maxSpecLength = 65_536;

/**
 * Parses the events of one watch, each without its managedFields. The spec of a pod is the same in nearly all of its
 * events, and half of what remains: while its bytes are the same as in the object's last event, so is its value, which
 * must not be modified. Throws SyntaxError as JSON.parse does.
 */
export function createEventParser(): (bytes: Buffer) => unknown {
  /** Of the objects that changed last, by uid; the oldest first. */
  const lastSpecs = new Map<string, LastSpec>();

  /** The spec that starts at `at`. Its end is found by the last one's, or else by its braces. */
  function specAt(bytes: Buffer, at: number): LastSpec {
    const uidAt = bytes.indexOf(uidKey) + uidKey.length;
    const uid = bytes.toString('latin1', uidAt, uidAt + uidLength);
    const last = lastSpecs.get(uid);
    lastSpecs.delete(uid);
    const isSame = last !== undefined && bytes.subarray(at, at + last.json.length).equals(last.json);
    const found = isSame ? last : parsedSpec(bytes.subarray(at, closingIndex(bytes, at + 1) + 1));
    if (found.json.length <= maxSpecLength) lastSpecs.set(uid, found);
    const [oldest] = lastSpecs.keys();
    if (lastSpecs.size > maxSpecs && oldest !== undefined) lastSpecs.delete(oldest);
    return found;
  }

  return (bytes) => {
    const unused = managedFieldsIn(bytes);
    const at = (unused?.to ?? 0) + toSpec.length;
    if (unused === undefined || bytes[at] !== opening || !bytes.subarray(unused.to, at).equals(toSpec))
      return parseObject(bytes);
    const { json, spec } = specAt(bytes, at);
    const event: unknown = JSON.parse(
      textOfParts(bytes.subarray(0, unused.from), toNoSpec, bytes.subarray(at + json.length)),
    );
    const { object } = fieldsOf(event);
    // Anything else was the spec of another object within this one.
    if (fieldsOf(object)['spec'] !== 0) return parseObject(bytes);
    (object as Record<string, unknown>)['spec'] = spec;
    return event;
  };
}

/** The bytes are copied: those of a stream are parts of larger buffers. */
const parsedSpec = (bytes: Buffer): LastSpec => ({
  json: Buffer.from(bytes),
  spec: JSON.parse(bytes.toString('utf8')),
});

/** Index of the bracket or brace that closes the one before `from`; the end of the bytes without one. */
function closingIndex(bytes: Buffer, from: number): number {
  const end = bytes.length;
  let depth = 1;
  for (let at = from; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === quote) {
      for (at += 1; at < end && bytes[at] !== quote; at++) if (bytes[at] === backslash) at += 1;
    } else if ((byte | braceBit) === opening) depth += 1;
    else if ((byte | braceBit) === closing && --depth === 0) return at;
  }
  return end;
}
