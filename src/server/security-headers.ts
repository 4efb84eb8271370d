/** The headers of every answer, and which of them the web configuration file may replace. */
import { createHash } from 'node:crypto';
import type { AnyResponse } from './exchange.ts';

/** For the source lists of a Content-Security-Policy: lets exactly this text run, inline. */
export const cspHash = (text: string): string =>
  `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing may be loaded, framed or sent anywhere; a page that needs more says so for itself. */
const strictest = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const always: Readonly<Record<string, string>> = {
  'Content-Security-Policy': strictest,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'deny',
  // Not no-referrer: a form would then send "Origin: null", and could not be told from a foreign one.
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** `configured`: the web configuration's; an empty value takes the header away. */
export function setSecurityHeaders(response: AnyResponse, configured: ReadonlyMap<string, string>): void {
  for (const [name, value] of Object.entries(always)) {
    if (!configured.has(name)) response.setHeader(name, value);
  }
  for (const [name, value] of configured) if (value !== '') response.setHeader(name, value);
}

/** Allows a page its own style and script, unless the web configuration has its own policy or none. */
export function allowInline(response: AnyResponse, styles: string, scripts: string): void {
  if (response.getHeader('Content-Security-Policy') !== strictest) return;
  const allowed = [
    "default-src 'none'",
    `style-src ${cspHash(styles)}`,
    `script-src ${cspHash(scripts)}`,
    "connect-src 'self'",
    'img-src data:',
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  response.setHeader('Content-Security-Policy', allowed.join('; '));
}
