/**
 * Whether a request that changes something was sent by our own page, or by no browser at all (curl). A foreign
 * page can make a browser post a form here, with the user's credentials, but cannot forge these headers.
 */
import type { AnyRequest } from './exchange.ts';

export function isSameOrigin(request: AnyRequest): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  // Browsers before 2023 send no Sec-Fetch-Site; behind a proxy that rewrites Host they are turned away.
  const { origin } = request.headers;
  if (origin === undefined) return true;
  const host = request.headers.host ?? request.headers[':authority'];
  return URL.canParse(origin) && new URL(origin).host === host;
}
