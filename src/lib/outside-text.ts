/**
 * Text that a peer sent (an error of a server, a part of a body), before any log, page, API or label shows it: one
 * line of a few hundred bytes, without control characters, and without the secrets that the peer knows from us.
 */
import { Secret } from './secret.ts';

/** Enough for the sentence that explains an error; a peer may send megabytes. */
const defaultMaxBytes = 300;
/** Longer text is cut before anything else, so that the work is bounded too. */
const maxScannedChars = 65_536;
const redacted = '<secret>';

/**
 * What must not reach a terminal, a log line or a page: control characters (C0, DEL, C1), line and paragraph
 * separators, invisible and bidirectional formatting, byte order marks, and halves of surrogate pairs.
 */
const unprintable =
  /[\p{Cc}\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

/**
 * The text on one line of at most `maxBytes` of UTF-8, printable, with each secret replaced by `<secret>`: as it is,
 * percent-encoded, in base64, and as JSON or a quoted string would escape it. Never throws.
 */
export function outsideText(
  text: unknown,
  secrets: readonly (Secret | string | undefined)[] = [],
  maxBytes = defaultMaxBytes,
): string {
  let raw: string;
  try {
    raw = typeof text === 'string' ? text : String(text);
  } catch {
    return '(not printable)';
  }
  const forms = formsOf(secrets);
  let scanned = raw;
  if (raw.length > maxScannedChars) {
    // The start of a secret at the cut would not be recognized.
    const longest = forms.reduce((most, form) => Math.max(most, form.length), 0);
    scanned = raw.slice(0, Math.max(0, maxScannedChars - longest));
  }
  // Twice: a secret may contain characters that the first line removes, or be broken up by them.
  const printable = withoutSecrets(printableLine(withoutSecrets(scanned, forms)), forms);
  return cutToBytes(printable, maxBytes, raw.length > scanned.length);
}

/** Control characters and line breaks as spaces, and without what is invisible. */
export const withoutControls = (text: string): string =>
  text.replace(unprintable, (found) => (/[\p{Cc}\u2028\u2029]/u.test(found) ? ' ' : ''));

const printableLine = (text: string): string => withoutControls(text).replace(/\s+/g, ' ').trim();

/** Every form in which a peer may repeat a secret, the longest first, so that none leaves a part of another. */
function formsOf(secrets: readonly (Secret | string | undefined)[]): readonly string[] {
  const forms = new Set<string>();
  for (const secret of secrets) {
    const value = secret instanceof Secret ? secret.reveal() : secret;
    if (value === undefined || value === '') continue;
    const bytes = Buffer.from(value, 'utf8');
    for (const form of [
      value,
      printableLine(value),
      percentEncoded(value),
      JSON.stringify(value).slice(1, -1),
      value.replaceAll(/[\\'"]/g, '\\$&'),
      value.replaceAll("'", "''"),
      bytes.toString('base64'),
      bytes.toString('base64').replace(/=+$/, ''),
      bytes.toString('base64url'),
      bytes.toString('hex'),
    ])
      if (form !== '') forms.add(form);
  }
  return [...forms].sort((a, b) => b.length - a.length);
}

function percentEncoded(value: string): string {
  try {
    return encodeURIComponent(value);
  } catch {
    return value;
  }
}

/** A secret of one to three characters is in half of all words: it is replaced where it stands alone. */
function withoutSecrets(text: string, forms: readonly string[]): string {
  let found = text;
  for (const form of forms) {
    if (form.length > 3) found = found.replaceAll(form, redacted);
    else found = found.replaceAll(new RegExp(`(?<![\\w<])${escaped(form)}(?![\\w>])`, 'g'), redacted);
  }
  return found;
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');

function cutToBytes(text: string, maxBytes: number, wasCut: boolean): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= maxBytes) return wasCut ? `${text}...` : text;
  // Never within a character: continuation bytes are 10xxxxxx.
  let end = Math.max(0, maxBytes - 3);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}...`;
}
