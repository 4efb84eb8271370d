/** Kinds of settings: addresses of /metrics, and files that belong to a host. */
import { dirname, isAbsolute, join } from 'node:path';
import { type Kind, Refusal, scalar } from './kind.ts';

/** Ports of prometheus_listen_addr in the Linux package; the chart uses 9236 for both. */
export const gitalyMetricsPort = 9236;
export const praefectMetricsPort = 9652;

export interface MetricsTarget {
  /** Its label `node`. Undefined: the URL's host. */
  readonly name: string | undefined;
  /** With scheme, port and path; without user and password. */
  readonly url: string;
  /** Every address of the host's name is a server of its own. */
  readonly everyAddress: boolean;
}

/** A valid host name before `=`. */
const nameBefore = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.*)$/s;

/**
 * `gitaly-1.example.com`, `[NAME=][dns+][https://]host[:port][/path]`. Without a scheme http, without a port
 * `defaultPort`, without a path `/metrics`.
 */
export const metricsTarget = (defaultPort: number): Kind<MetricsTarget> =>
  scalar({
    name: 'address of metrics',
    placeholder: '<[name=]address>',
    expected: `an address such as gitaly-1.example.com:${defaultPort} or https://gitaly-1.example.com:${defaultPort}/metrics, with NAME= before it to give it a name`,
    unquotable: (found) =>
      found.includes('@')
        ? 'has a user: remove user and password, and put them into gitaly.scrape.credentials-file'
        : undefined,
    parse(found) {
      const [, name, rest = found.trim()] = nameBefore.exec(found.trim()) ?? [];
      const everyAddress = rest.startsWith('dns+');
      const address = everyAddress ? rest.slice('dns+'.length) : rest;
      if (everyAddress && name !== undefined)
        return new Refusal('targets of dns+ are named after their addresses: remove the name');
      const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `http://${address}`;
      const url = URL.parse(withScheme);
      if (url === null || url.hostname === '') return new Refusal();
      if (url.protocol !== 'http:' && url.protocol !== 'https:')
        return new Refusal('the scheme must be http or https');
      if (url.hash !== '') return new Refusal('a part after # is not allowed');
      // The URL parser drops the scheme's default port, which is not the default here.
      const ownPort = /^[^/]*\/\/[^/?]*:(\d+)(?=[/?]|$)/.exec(withScheme)?.[1];
      if (ownPort === undefined) url.port = String(defaultPort);
      if (url.pathname === '/') url.pathname = '/metrics';
      return Object.freeze({ name, url: url.href, everyAddress });
    },
    print: ({ name, url, everyAddress }) =>
      `${name === undefined ? '' : `${name}=`}${everyAddress ? 'dns+' : ''}${url}`,
  });

/** A loopback target is on this host and has its name. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

export interface NamedFile {
  /** The host that it belongs to; undefined: this one. */
  readonly name: string | undefined;
  readonly file: string;
}

/** `[NAME=]FILE`; in the configuration file relative to its directory, like every path. */
export const namedFile = (): Kind<NamedFile> =>
  scalar({
    name: 'file',
    placeholder: '<[name=]file>',
    expected: 'the path of a file, with NAME= before it if it belongs to another host',
    parse(found, origin) {
      const [, name, path = found.trim()] = nameBefore.exec(found.trim()) ?? [];
      if (path === '') return new Refusal('the path after the name is missing');
      const file = origin.source === 'file' && !isAbsolute(path) ? join(dirname(origin.file), path) : path;
      return Object.freeze({ name, file });
    },
    print: ({ name, file }) => (name === undefined ? file : `${name}=${file}`),
  });
