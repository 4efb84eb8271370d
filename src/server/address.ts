/** `--web.listen-address`: parsing, and messages for people when listening fails. */
import { isIP } from 'node:net';
import { codeOf, describeThrown } from '../lib/errors.ts';

export interface ListenAddress {
  /** As configured, for messages. */
  readonly configured: string;
  /** Undefined: all addresses of this host, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

type ParsedAddress =
  | { readonly ok: true; readonly value: ListenAddress }
  | { readonly ok: false; readonly problem: string };

/** `:9656`, `0.0.0.0:9656`, `[::1]:9656`, `localhost:0`. */
export function parseListenAddress(configured: string): ParsedAddress {
  const reject = (fix: string): ParsedAddress => ({
    ok: false,
    problem: `web.listen-address: "${configured}" is not a valid address: ${fix}`,
  });
  if (/^\d+$/.test(configured)) return reject(`write :${configured}`);
  if (/^[a-z]+:\/\//.test(configured))
    return reject('write host:port, without a scheme; only TCP is supported');
  const parts = /^(?:\[([^\]]*)\]|([^[\]:]*)):(\d*)$/.exec(configured);
  if (parts === null) {
    if (isIP(configured.replace(/^\[|\]$/g, '')) === 6 || configured.split(':').length > 2) {
      return reject('write an IPv6 address as [::1]:9656');
    }
    return reject('write host:port or :port, such as :9656');
  }
  const [, ipv6, name, digits] = parts;
  if (digits === undefined || digits === '') return reject('the port is missing');
  const port = Number(digits);
  if (port > 65_535) return reject('a port is at most 65535');
  if (ipv6 !== undefined && isIP(ipv6.split('%')[0] ?? '') !== 6) {
    return reject('only an IPv6 address is written in brackets');
  }
  const host = ipv6 ?? name ?? '';
  if (ipv6 === undefined && /^[\d.]+$/.test(host) && isIP(host) !== 4)
    return reject(`${host} is not an IPv4 address`);
  return { ok: true, value: { configured, host: host === '' ? undefined : host, port } };
}

/** Why listening failed, and how to fix it. `error`: from net.Server. */
export function listenProblem(address: ListenAddress, error: unknown): string {
  const start = `web.listen-address: cannot listen on "${address.configured}"`;
  const code = codeOf(error);
  switch (code) {
    case 'EADDRINUSE':
      return `${start}: port ${address.port} is in use by another process or another listen address; stop it, or choose another port (ss -ltnp 'sport = :${address.port}' shows the process)`;
    case 'EACCES':
      return `${start}: this user may not open port ${address.port}; choose one above 1023`;
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return `${start}: this host has no such address; :${address.port} listens on all its addresses`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${start}: the name ${address.host} does not resolve; use an address, or :${address.port}`;
    default:
      return `${start}: ${code ?? describeThrown(error)}`;
  }
}

/** A URL for people to open: a wildcard address becomes localhost. */
export function addressUrl(scheme: 'http' | 'https', address: ListenAddress, port: number): string {
  const isWildcard = address.host === undefined || address.host === '0.0.0.0' || address.host === '::';
  const host = isWildcard ? 'localhost' : (address.host ?? '');
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}/`;
}
