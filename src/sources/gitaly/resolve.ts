/** Names to addresses: a plain name must be one server, a `dns+` name is as many as it has addresses. */
import { lookup as lookupName } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { HttpError, httpFailure } from '../../lib/http/failure.ts';

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** All addresses of a name, as the system resolves it. Rejects as node:dns does. */
export type Resolve = (name: string) => Promise<readonly Address[]>;

export const systemResolve: Resolve = async (name) => {
  const found = await lookupName(name, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

/** Which of several servers responds would be chance, and counters would jump between theirs. */
const severalServers = new HttpError(
  httpFailure(
    'local',
    'has a name with several addresses: write dns+ before it to read each of them, or set the address of one',
  ),
);

/**
 * For node:net, which connects to one of IPv4 and IPv6, whichever comes first. Rejects a name with two addresses of one
 * family.
 */
export const lookupOneServer =
  (resolve: Resolve): LookupFunction =>
  (name, options, callback) => {
    const fail = (error: Error): void => callback(error, options.all ? [] : '');
    resolve(name).then((addresses) => {
      const [v4 = [], v6 = []] = [4, 6].map((family) => addresses.filter((each) => each.family === family));
      if (v4.length > 1 || v6.length > 1) return fail(severalServers);
      const [first, ...others] = [...v6, ...v4];
      if (first === undefined) return fail(Object.assign(new Error('no address'), { code: 'ENOTFOUND' }));
      if (options.all)
        callback(
          null,
          [first, ...others].map(({ address, family }) => ({ address, family })),
        );
      else callback(null, first.address, first.family);
    }, fail);
  };
