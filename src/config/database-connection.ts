/** The address of a PostgreSQL server and how to connect to it, from libpq's parameters. */
import type { Secret } from '../lib/secret.ts';

/** libpq's sslmode, in rising order of trust (PostgreSQL documentation, 34.19). */
export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

/** A socket or the loopback interface: nothing crosses the network. */
export const isLocalDatabase = (host: string): boolean =>
  host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\./.test(host);

export interface DatabaseConnection {
  /** Host name, address, or the folder of a Unix socket (begins with /). */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /**
   * Called for each new connection, so that a rotated password file needs no restart. Rejects with an Error whose
   * message is for people and contains no secret (a file that was removed, or that others can read).
   */
  readonly password: () => Promise<Secret | undefined>;
  readonly ssl: {
    readonly mode: SslMode;
    /** Files' paths, read at each new connection. `rootCert: 'system'` means the system's own store. */
    readonly rootCert?: string;
    readonly cert?: string;
    readonly key?: string;
  };
  /** Upper bound for establishing a connection; a run's own deadline may be shorter. */
  readonly connectTimeoutMs: number;
}
