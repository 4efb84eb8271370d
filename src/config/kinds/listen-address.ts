/** A kind of setting: the address on which the server listens. */
import { isIP } from 'node:net';
import { type Kind, Refusal, scalar } from './kind.ts';

export interface ListenAddress {
  /** As configured, for messages. */
  readonly configured: string;
  /** Undefined: all addresses of this host, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

/** `:9656`, `0.0.0.0:9656`, `[::1]:9656`, `localhost:0`. */
export const listenAddress = (): Kind<ListenAddress> =>
  scalar({
    name: 'address',
    placeholder: '<address>',
    expected: 'an address such as :9656, 127.0.0.1:9656 or [::1]:9656',
    parse(found) {
      const configured = found.trim();
      if (/^\d{1,5}$/.test(configured)) return new Refusal(`write :${configured}`);
      if (/^[a-z]+:\/\//.test(configured))
        return new Refusal('write host:port, without a scheme; only TCP is supported');
      const [, ipv6, name = '', digits] = /^(?:\[([^\]]*)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(configured) ?? [];
      if (digits === undefined)
        return new Refusal(
          configured.split(':').length > 2 ? 'write an IPv6 address as [::1]:9656' : undefined,
        );
      const port = Number(digits);
      if (port > 65_535) return new Refusal('a port is at most 65535');
      if (ipv6 !== undefined && isIP(ipv6) !== 6) return new Refusal('brackets are for IPv6 addresses only');
      if (/^[\d.]+$/.test(name) && isIP(name) !== 4) return new Refusal(`${name} is not an IPv4 address`);
      const host = ipv6 ?? name;
      return Object.freeze({ configured, host: host === '' ? undefined : host, port });
    },
    print: ({ configured }) => configured,
  });
