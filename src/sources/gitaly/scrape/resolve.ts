/** Names to addresses: of a plain name exactly one server, of a `dns+` name as many as there are. */
import { lookup as lookupName } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** All addresses of a name, as the system resolves names. Rejects as node:dns does. */
export type Resolve = (name: string) => Promise<readonly Address[]>;

export const systemResolve: Resolve = async (name) => {
  const found = await lookupName(name, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

/** The name has several addresses of a kind: which server would answer is chance, and its counters would jump. */
export const severalServers = 'ERR_SEVERAL_SERVERS';

/**
 * For node:net, which connects to one of IPv4 and IPv6, whichever comes first. A name with two addresses of one
 * kind is refused with code `severalServers`.
 */
export const lookupOneServer =
  (resolve: Resolve, signal: AbortSignal): LookupFunction =>
  (name, options, callback) => {
    const refuse = (error: Error): void => callback(error, options.all ? [] : '');
    resolve(name).then((addresses) => {
      if (signal.aborted) return;
      const [v4 = [], v6 = []] = [4, 6].map((family) => addresses.filter((each) => each.family === family));
      if (v4.length > 1 || v6.length > 1)
        return refuse(Object.assign(new Error('several servers'), { code: severalServers }));
      const [first, ...rest] = [...v6, ...v4];
      if (first === undefined) return refuse(Object.assign(new Error('no address'), { code: 'ENOTFOUND' }));
      if (options.all)
        callback(
          null,
          [first, ...rest].map(({ address, family }) => ({ address, family })),
        );
      else callback(null, first.address, first.family);
    }, refuse);
  };
