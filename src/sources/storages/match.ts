/**
 * Which Gitaly serves each storage of Praefect: pure. Praefect knows a storage by an address (an IP address, a host name,
 * a pod's name in a headless service), alerts know a Gitaly by its pod or host.
 */
import { isIP } from 'node:net';
import type { Identity } from '../identity.ts';

/** [[virtual_storage.node]] of Praefect's config.toml. */
export interface StorageNode {
  readonly virtualStorage: string;
  readonly storage: string;
  /** `tcp://gitaly-0.gitaly.gitlab.svc:8075`, `tls://10.0.0.7:9999`; empty: not known. */
  readonly address: string;
}

/** A Gitaly that the exporter scrapes. */
export interface KnownServer {
  readonly identity: Identity;
  /** Host of its metrics address: a name or an IP address, lower case, without brackets. */
  readonly host: string;
  /** What the host's name resolves to. */
  readonly addresses: readonly string[];
}

/** Host of a Gitaly's address, lower case, without brackets; undefined for a socket and for text that is no address. */
export function storageHostOf(address: string): string | undefined {
  const rest = /^(?:tcp|tls|dns|https?):(?:\/\/[^/]*\/(?=[^/]))?\/*(.+)$/i.exec(address.trim())?.[1] ?? '';
  const [, ipv6, name] = /^(?:\[([^\]]+)\]|([^:/\s]+))(?::\d{1,5})?\/?$/.exec(rest) ?? [];
  return (ipv6 ?? name)?.toLowerCase();
}

/** The Gitaly at an address; undefined where none of the known ones is, and the name itself says nothing. */
export function serverAt(
  host: string,
  addresses: readonly string[],
  servers: readonly KnownServer[],
): Identity | undefined {
  const ways: readonly ((server: KnownServer) => boolean)[] = [
    (server) => server.host === host || server.identity.node.toLowerCase() === host,
    ({ identity }) => isPodName(host, identity),
    // One of them may be the short name of the other.
    ({ identity, host: own }) =>
      identity.pod === '' && [own, identity.node].some((name) => isShort(name, host)),
    (server) => server.addresses.some((each) => addresses.includes(each)),
  ];
  for (const isAt of ways) {
    const found = servers.filter(isAt);
    // Several: a load balancer, or a host with several Gitalys, which the address does not distinguish.
    if (found.length === 1 && found[0] !== undefined) return withoutNode(found[0].identity);
    if (found.length > 1) return undefined;
  }
  return podOfService(host);
}

/** `gitaly-0`, `gitaly-0.gitaly`, `gitaly-0.gitaly.gitlab`, with .svc and the cluster's domain or without. */
function isPodName(host: string, { namespace, pod }: Identity): boolean {
  if (pod === '' || isIP(host) !== 0) return false;
  const [name, , space] = host.split('.');
  return name === pod && (space === undefined || space === namespace);
}

/** By the name of a pod in its headless service, which is known while the pod is not there. */
function podOfService(host: string): Identity | undefined {
  const [pod, service, namespace, svc] = host.split('.');
  if (pod === undefined || !service || namespace === undefined || svc !== 'svc') return undefined;
  return { namespace, pod, node: '' };
}

function isShort(name: string, host: string): boolean {
  const [a, b] = [name.toLowerCase(), host];
  if (a === '' || isIP(a) !== 0 || isIP(b) !== 0) return false;
  return a.startsWith(`${b}.`) || b.startsWith(`${a}.`);
}

const withoutNode = (identity: Identity): Identity =>
  identity.pod === '' ? identity : { ...identity, node: '' };

/** `gitlab/gl-gitaly-0` is a pod; another name is a known pod's or a host's. */
export function serverNamed(name: string, servers: readonly KnownServer[]): Identity {
  const [namespace, pod] = name.split('/');
  if (namespace !== undefined && pod !== undefined) return { namespace, pod, node: '' };
  const pods = servers.filter(({ identity }) => identity.pod === name);
  const [first] = pods;
  return pods.length === 1 && first !== undefined
    ? withoutNode(first.identity)
    : { namespace: '', pod: '', node: name };
}
