/** Where a PostgreSQL is and how to talk to it: what libpq's parameters say, as a value. */
import type { Secret } from '../lib/secret.ts';

/** libpq's sslmode, in rising order of trust (PostgreSQL documentation, 34.19). */
export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

export interface DatabaseConnection {
  /** Host name, address, or the folder of a Unix socket (begins with /). */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /**
   * Asked for at each new connection, so that a rotated password file is picked up without a restart. Rejects with
   * an Error whose message is for people and holds no secret (a file that is gone, or that others may read).
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
