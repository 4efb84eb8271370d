import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { outsideText } from '../../src/lib/outside-text.ts';
import { Secret } from '../../src/lib/secret.ts';
import { anyText } from '../support/any-text.ts';

test('short printable text is unchanged', () => {
  expect(outsideText('relation "x" does not exist')).toBe('relation "x" does not exist');
  expect(outsideText('Zugriff verweigert für »gitaly«')).toBe('Zugriff verweigert für »gitaly«');
});

test('long text is cut at the limit in bytes, and never inside a character', () => {
  for (const text of ['x'.repeat(100_000), 'ä'.repeat(100_000), '🦊'.repeat(50_000)]) {
    const cut = outsideText(text);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(300);
    expect(cut).toMatch(/^[^\ufffd]*\.\.\.$/u);
  }
  expect(outsideText('abcdefghij', [], 8)).toBe('abcde...');
});

test('control characters, line separators and bidirectional formatting are removed', () => {
  expect(outsideText('a\r\nb\u001b[31mc\u0000d\u2028e\u202ef\u009bg\u200bh\ufeffi')).toBe(
    'a b [31mc d ef ghi',
  );
  expect(outsideText('half \ud800 pair')).toBe('half pair');
});

test('a secret is redacted in every form in which a peer repeats it', () => {
  const password = new Secret(`s3cr"et'pass/word+\\1`);
  const value = password.reveal();
  const bytes = Buffer.from(value);
  for (const form of [
    value,
    encodeURIComponent(value),
    JSON.stringify(value),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('hex'),
    value.replaceAll("'", "''"),
  ])
    expect(outsideText(`password ${form} is wrong`, [password])).toMatch(/^password "?<secret>"? is wrong$/);
});

test('a secret is redacted before the text is cut', () => {
  const secret = 'abcdefgh'.repeat(40);
  expect(outsideText(`${'x'.repeat(200)} ${secret}`, [secret])).toBe(`${'x'.repeat(200)} <secret>`);
  expect(outsideText(`${secret.repeat(1000)}`, [secret])).not.toContain('abcdefgh');
});

test('a secret with control characters, or broken up by them, is redacted', () => {
  expect(outsideText('it is line1\nline2!', ['line1\nline2'])).toBe('it is <secret>!');
  expect(outsideText('it is pass\u200bword!', ['password'])).toBe('it is <secret>!');
});

test('a very short secret is redacted only where it is a word of its own, so that words stay readable', () => {
  expect(outsideText('password a is wrong', ['a'])).toBe('password <secret> is wrong');
});

test('a value that cannot be converted to text does not throw', () => {
  const hostile = {
    toString() {
      throw new Error('no');
    },
  };
  expect(outsideText(hostile)).toBe('(not printable)');
  expect(outsideText(undefined)).toBe('undefined');
});

test('any text becomes one short printable line without the secret', () => {
  fc.assert(
    fc.property(anyText({ maxLength: 600 }), fc.string({ minLength: 4 }), (text, secret) => {
      fc.pre(secret.trim().length > 3 && !'<secret>...'.includes(secret));
      const shown = outsideText(`${text}${secret}${text}`, [secret]);
      expect(Buffer.byteLength(shown)).toBeLessThanOrEqual(300);
      expect(shown).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
      expect(shown).not.toContain(secret);
    }),
  );
});
