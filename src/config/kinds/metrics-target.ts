/** Kinds of what is read beside the database: addresses of /metrics, and files that belong to a host. */
import { dirname, isAbsolute, join } from 'node:path';
import { bad } from '../problem.ts';
import { type Kind, problemOf, Refusal, scalar } from './kind.ts';

/** Of prometheus_listen_addr, as the Linux package sets it; the chart has 9236 for both. */
export const gitalyMetricsPort = 9236;
export const praefectMetricsPort = 9652;

export interface MetricsTarget {
  /** What the settings call it: its label `node`. Undefined: the URL's host. */
  readonly name: string | undefined;
  /** Whole: with scheme, port and path; without user and password. */
  readonly url: string;
  /** Every address of the host's name is a server of its own. */
  readonly everyAddress: boolean;
}

/** A name that a host may have, as a label's value. */
const nameBefore = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.*)$/s;

/**
 * `gitaly-1.example.com`, `[NAME=][dns+][https://]host[:port][/path]`. Without a scheme http, without a port
 * `defaultPort`, without a path `/metrics`.
 */
export function metricsTarget(defaultPort: number): Kind<MetricsTarget> {
  const kind = withoutUser(defaultPort);
  return Object.freeze<Kind<MetricsTarget>>({
    ...kind,
    read(raw, name) {
      // A refusal quotes what it found, and what stands before an @ may be a password.
      if (raw.form !== 'text' || !raw.text.includes('@')) return kind.read(raw, name);
      const message =
        'its value (not shown) holds a user: keep user and password out of it, gitaly.scrape.credentials-file is for them';
      return bad(problemOf(raw.origin, name, message));
    },
  });
}

const withoutUser = (defaultPort: number): Kind<MetricsTarget> =>
  scalar({
    name: 'address of metrics',
    placeholder: '<[name=]address>',
    expected: `an address such as gitaly-1.example.com:${defaultPort} or https://gitaly-1.example.com:${defaultPort}/metrics, with NAME= before it where it needs a name`,
    parse(found) {
      const [, name, rest = found.trim()] = nameBefore.exec(found.trim()) ?? [];
      const everyAddress = rest.startsWith('dns+');
      const address = everyAddress ? rest.slice('dns+'.length) : rest;
      if (everyAddress && name !== undefined)
        return new Refusal('what dns+ finds is named by its addresses: leave the name out');
      const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `http://${address}`;
      const url = URL.parse(withScheme);
      if (url === null || url.hostname === '') return new Refusal();
      if (url.protocol !== 'http:' && url.protocol !== 'https:')
        return new Refusal('only http:// and https:// can be read');
      if (url.hash !== '') return new Refusal('it has no part after #');
      // The parser drops a scheme's own port, which is not the default here.
      const ownPort = /^[^/]*\/\/[^/?]*:(\d+)(?=[/?]|$)/.exec(withScheme)?.[1];
      if (ownPort === undefined) url.port = String(defaultPort);
      if (url.pathname === '/') url.pathname = '/metrics';
      return Object.freeze({ name, url: url.href, everyAddress });
    },
    print: ({ name, url, everyAddress }) =>
      `${name === undefined ? '' : `${name}=`}${everyAddress ? 'dns+' : ''}${url}`,
  });

/** Such a target is on this host, and is called by its name. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

export interface NamedFile {
  /** The host that it is of; undefined: this one. */
  readonly name: string | undefined;
  readonly file: string;
}

/** `[NAME=]FILE`; in the configuration file relative to its folder, as every path. */
export const namedFile = (): Kind<NamedFile> =>
  scalar({
    name: 'file',
    placeholder: '<[name=]file>',
    expected: "a file's path, with NAME= before it where it is not of this host",
    parse(found, origin) {
      const [, name, path = found.trim()] = nameBefore.exec(found.trim()) ?? [];
      if (path === '') return new Refusal('a path follows the name');
      const file = origin.source === 'file' && !isAbsolute(path) ? join(dirname(origin.file), path) : path;
      return Object.freeze({ name, file });
    },
    print: ({ name, file }) => (name === undefined ? file : `${name}=${file}`),
  });
