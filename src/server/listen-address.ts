/** `--web.listen-address`: what is accepted, and what to tell people when a socket cannot be had. */
import { isIP } from 'node:net';

export interface ListenAddress {
  /** As configured, for messages. */
  readonly configured: string;
  /** Undefined: every address of this host, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

export type ParsedAddress =
  | { readonly ok: true; readonly value: ListenAddress }
  | { readonly ok: false; readonly problem: string };

/** `:9656`, `0.0.0.0:9656`, `[::1]:9656`, `localhost:0`. */
export function parseListenAddress(configured: string): ParsedAddress {
  const refuse = (mend: string): ParsedAddress => ({
    ok: false,
    problem: `web.listen-address: "${configured}" is no address to listen on: ${mend}`,
  });
  if (/^\d+$/.test(configured)) return refuse(`write :${configured}`);
  if (/^[a-z]+:\/\//.test(configured)) return refuse('write host:port, without a scheme; only TCP is served');
  const parts = /^(?:\[([^\]]*)\]|([^[\]:]*)):(\d*)$/.exec(configured);
  if (parts === null) {
    if (isIP(configured.replace(/^\[|\]$/g, '')) === 6 || configured.split(':').length > 2) {
      return refuse('write an IPv6 address as [::1]:9656');
    }
    return refuse('write host:port or :port, such as :9656');
  }
  const [, ipv6, name, digits] = parts;
  if (digits === undefined || digits === '') return refuse('the port is missing');
  const port = Number(digits);
  if (port > 65_535) return refuse('a port is at most 65535');
  if (ipv6 !== undefined && isIP(ipv6.split('%')[0] ?? '') !== 6) {
    return refuse('only an IPv6 address stands in brackets');
  }
  const host = ipv6 ?? name ?? '';
  if (ipv6 === undefined && /^[\d.]+$/.test(host) && isIP(host) !== 4)
    return refuse(`${host} is no IPv4 address`);
  return { ok: true, value: { configured, host: host === '' ? undefined : host, port } };
}

/** Why the operating system gave no socket, and the mend. */
export function listenProblem(address: ListenAddress, error: NodeJS.ErrnoException): string {
  const start = `web.listen-address: cannot listen on "${address.configured}"`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${start}: another process, or another listen address of this one, has port ${address.port}; stop it, or choose another port (ss -ltnp 'sport = :${address.port}' shows who)`;
    case 'EACCES':
      return `${start}: this user may not open port ${address.port}; choose one above 1023`;
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return `${start}: this host has no such address; :${address.port} listens on all that it has`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${start}: the name ${address.host} does not resolve; give an address, or :${address.port}`;
    default:
      return `${start}: ${error.code ?? error.message}`;
  }
}

/** For people to click on: a wildcard becomes localhost. */
export function addressUrl(scheme: 'http' | 'https', address: ListenAddress, port: number): string {
  const wildcard = address.host === undefined || address.host === '0.0.0.0' || address.host === '::';
  const host = wildcard ? 'localhost' : (address.host ?? '');
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}/`;
}
