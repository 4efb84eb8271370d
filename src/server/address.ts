/** `--web.listen-address` for people: its URL, and why listening failed. */
import { isIP } from 'node:net';
import type { ListenAddress } from '../config/kinds/listen-address.ts';
import { codeOf, describeThrown } from '../lib/errors.ts';

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
