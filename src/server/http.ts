/** Requests and responses: plain responses, security headers, and whether a request is cross-site. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { Request, Response } from 'express';

export type HttpMethod = 'GET' | 'POST' | 'PUT';

export interface HttpRoute {
  /** In the syntax of express 5: `/api/v1/buckets/:name`. */
  readonly path: string;
  /** GET includes HEAD. */
  readonly methods: readonly HttpMethod[];
  handle(request: Request, response: Response): void | Promise<void>;
}

/** The path without the query, as it was sent. */
export const requestPath = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0] ?? '/';

/** Sends one line of plain text. It must not contain anything that the client sent. */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  sendBody(response, status, 'text/plain; charset=utf-8', [Buffer.from(`${text}\n`)]);
}

export function sendJson(response: ServerResponse, status: number, json: unknown): void {
  const body = Buffer.from(`${JSON.stringify(json, undefined, 2)}\n`);
  sendBody(response, status, 'application/json; charset=utf-8', [body]);
}

/** Several chunks are sent one after the other, without being copied together. HEAD gets no body. */
export function sendBody(
  response: ServerResponse,
  status: number,
  contentType: string,
  chunks: readonly Uint8Array[],
): void {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  response.statusCode = status;
  response.setHeader('Content-Type', contentType);
  response.setHeader('Content-Length', String(length));
  response.setHeader('Cache-Control', 'no-store');
  if (response.req.method !== 'HEAD') for (const chunk of chunks) response.write(chunk);
  response.end();
}

/** Aborts when the client disconnects before it has received the whole response. */
export function disconnectSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort(new Error('the client disconnected'));
  });
  return controller.signal;
}

/**
 * Whether a request that changes something comes from this server's own page, or from a client that is not a
 * browser (curl). Another site can make a browser post a form here with the user's credentials, but it cannot
 * forge these headers.
 */
export function isSameOrigin({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  // Browsers before 2023 send no Sec-Fetch-Site. Behind a proxy that rewrites Host, they are rejected.
  const { origin } = headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === headers.host;
}

const localSuffix = /\.(localhost|local|internal|svc|svc\.cluster\.local|cluster\.local|home\.arpa)$/;

/**
 * Whether the request's Host is a name of this server: an address, this host's own name, or a name that no public
 * DNS server can resolve (a single label, a Kubernetes Service). Any other name may be one that an attacker's DNS
 * points here: for a browser its pages then have the same origin as this server ("DNS rebinding").
 */
export function isOwnHost({ headers }: IncomingMessage, ownNames: ReadonlySet<string>): boolean {
  const host = headers.host ?? '';
  if (host === '') return true; // HTTP/1.0, which no browser sends.
  if (!URL.canParse(`http://${host}`)) return false;
  const name = new URL(`http://${host}`).hostname.replace(/\.$/, '');
  if (name.startsWith('[') || isIP(name) !== 0) return true;
  return !name.includes('.') || localSuffix.test(name) || ownNames.has(name);
}

/** For the source lists of a Content-Security-Policy: allows exactly this inline text. */
const cspHash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing may be loaded, framed or sent anywhere. The page replaces it by what it needs. */
const strictPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const defaultHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy': strictPolicy,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'deny',
  // Not no-referrer: a form would then send "Origin: null", which looks like a cross-site request.
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** @param configured from the web configuration; an empty value removes the header */
export function setSecurityHeaders(response: ServerResponse, configured: ReadonlyMap<string, string>): void {
  for (const [name, value] of Object.entries(defaultHeaders)) {
    if (!configured.has(name)) response.setHeader(name, value);
  }
  for (const [name, value] of configured) if (value !== '') response.setHeader(name, value);
}

/** Allows the page its inline style and script, unless the web configuration sets or removes the policy. */
export function allowInline(response: ServerResponse, styles: string, scripts: string): void {
  if (response.getHeader('Content-Security-Policy') !== strictPolicy) return;
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
