/**
 * The credentials that the API server has received, and their removal from everything that it sends: an error text, an
 * event or an annotation may repeat them. On the bytes, before anything is parsed or cut: a part of a token would not be
 * recognized.
 */
import type { Secret } from '../../../lib/secret.ts';

export interface KnownSecrets {
  /** @param authorization value of the header: `Bearer ...`, `Basic ...` */
  add(authorization: Secret | undefined): void;
  /** The same bytes if they have none of the secrets. */
  remove(bytes: Buffer): Buffer;
}

/** Tokens are renewed; the server may still repeat the last ones. */
const maxKept = 4;
/** A shorter password is in half of all words, and JSON without them is not JSON. */
const minLength = 8;
const removed = '<secret>';

export function createKnownSecrets(): KnownSecrets {
  /** Value of the header -> every form in which it may be repeated. */
  const known = new Map<string, readonly Buffer[]>();
  return {
    add(authorization) {
      const header = authorization?.reveal() ?? '';
      if (header === '' || known.has(header)) return;
      known.set(header, formsOf(header));
      const [oldest] = known.keys();
      if (known.size > maxKept && oldest !== undefined) known.delete(oldest);
    },
    remove(bytes) {
      const found = [...known.values()].flat().filter((form) => bytes.includes(form));
      if (found.length === 0) return bytes;
      const text = found.reduce(
        (rest, form) => rest.replaceAll(form.toString('latin1'), removed),
        bytes.toString('latin1'),
      );
      return Buffer.from(text, 'latin1');
    },
  };
}

/** Longest first, so that none leaves a part of another. */
function formsOf(header: string): readonly Buffer[] {
  const [, scheme = '', value = header] = /^(\S+)\s+(.*)$/s.exec(header) ?? [];
  const values = [value];
  if (scheme.toLowerCase() === 'basic') {
    const login = Buffer.from(value, 'base64').toString('utf8');
    values.push(login, login.replace(/^[^:]*:/, ''));
  }
  const forms = values.flatMap((each) => [
    each,
    encodeURIComponent(each.toWellFormed()),
    JSON.stringify(each).slice(1, -1),
    ...(['base64', 'base64url', 'hex'] as const).map((encoding) =>
      Buffer.from(each, 'utf8').toString(encoding),
    ),
  ]);
  return [...new Set(forms)]
    .filter((form) => form.length >= minLength)
    .sort((a, b) => b.length - a.length)
    .map((form) => Buffer.from(form, 'utf8'));
}
