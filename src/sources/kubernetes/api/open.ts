/** Address and credentials of the API, from its configuration. */
import type { Agent } from 'node:http';
import type { RequestOptions } from 'node:https';
import type { Clock } from '../../../lib/clock.ts';
import { codeOf } from '../../../lib/errors.ts';
import { FileLimitError, readTextFile } from '../../../lib/files.ts';
import { Secret } from '../../../lib/secret.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KubeApi } from './api.ts';
import { type AccessResult, type ApiAccess, createHttpApi, type GetAccess } from './http.ts';
import {
  type KubeApiSettings,
  type KubeConfiguration,
  KubeconfigError,
  type KubeEnvironment,
  loadConfiguration,
  serverOf,
} from './kubeconfig.ts';

interface KubeApiOptions extends KubeEnvironment {
  readonly clock: Clock;
  /** For one response. Default 60 s. */
  readonly timeoutMs?: number;
}

/** How long credentials from files, or from a plugin that reports no expiry, are used before they are read again. */
const maxAgeMs = 60_000;
/** When a token expires, all watches are refused at the same time: one renewal is enough for all of them. */
const minRenewalMs = 5_000;
const credentialLimits = { maxBytes: 1024 ** 2 };

/**
 * An API whose configuration is read by its first request: the exporter can start without one, an invalid kubeconfig is
 * a failure of each request until it is fixed, and @kubernetes/client-node does not delay the start.
 */
export const openKubeApi = (
  settings: KubeApiSettings,
  { clock, timeoutMs, ...environment }: KubeApiOptions,
): KubeApi =>
  createHttpApi({
    access: accessFrom(() => loadConfiguration(settings, environment), clock),
    clock,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });

/** Reads credentials once at a time, keeps them for a minute, and reads them again when they were rejected. */
function accessFrom(load: () => Promise<KubeConfiguration>, clock: Clock): GetAccess {
  let configuration: KubeConfiguration | undefined;
  let latest:
    | { readonly access: Promise<AccessResult>; readonly at: number; readonly renewed: boolean }
    | undefined;

  async function read(renew: boolean): Promise<AccessResult> {
    try {
      // A new configuration has no cached tokens, and runs plugins again.
      if (renew || configuration === undefined) configuration = await load();
      return { ok: true, access: await accessOf(configuration) };
    } catch (error) {
      latest = undefined;
      return { ok: false, failure: configurationFailure(error) };
    }
  }

  return (renew) => {
    const age = latest === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() - latest.at;
    if (latest === undefined || (renew ? !latest.renewed || age > minRenewalMs : age > maxAgeMs))
      latest = { access: read(renew), at: clock.monotonic(), renewed: renew };
    return latest.access;
  };
}

async function accessOf(configuration: KubeConfiguration): Promise<ApiAccess> {
  const server = serverOf(configuration);
  const { config, tokenFiles } = configuration;
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  const tokenFile = user === null ? undefined : tokenFiles.get(user.name);
  if (user !== null && tokenFile !== undefined)
    Object.assign(user, { token: (await readTextFile(tokenFile, credentialLimits)).trim() });
  // client-node reads these synchronously: a named pipe among them would stop the process.
  for (const file of [cluster?.caFile, user?.certFile, user?.keyFile])
    if (file !== undefined && file !== '') await readTextFile(file, credentialLimits);
  // Required by client-node for http, which serverOf accepts for addresses of this host only.
  if (cluster?.server.startsWith('http:') === true) Object.assign(cluster, { skipTLSVerify: true });
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized, auth, agent } = options;
  const { Authorization: bearer, ...headers } = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [name, String(value).trim()]),
  );
  const authorization = auth ? `Basic ${Buffer.from(auth).toString('base64')}` : bearer;
  return {
    server,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
    authorization: authorization === undefined ? undefined : new Secret(authorization),
    headers,
    ...(cluster?.proxyUrl === undefined ? {} : { agent: agent as Agent }),
  };
}

/** Does not quote plugins and parsers, whose messages may have credentials. */
function configurationFailure(error: unknown): Failure {
  if (error instanceof KubeconfigError) return { reason: error.reason, message: error.message };
  if (error instanceof FileLimitError)
    return {
      reason: 'authentication',
      message: `a file with the credentials of the Kubernetes API cannot be read: ${error.message}`,
    };
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR') {
    const { path } = error as { readonly path?: unknown };
    return {
      reason: 'authentication',
      message: `a file or program with the credentials of the Kubernetes API cannot be used${typeof path === 'string' ? `: ${path}` : ''} (${code})`,
    };
  }
  return {
    reason: 'authentication',
    message: `the credentials of the kubeconfig cannot be loaded${code === undefined ? '' : ` (${code})`}: its certificates or its credential plugin fail; run kubectl with the same kubeconfig for details`,
  };
}
