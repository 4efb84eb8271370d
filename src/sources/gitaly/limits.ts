/** A Gitaly's limits: what its config.toml sets and what its own metrics report, merged. Pure. */
import type {
  GitalyConfig,
  Limit,
  LimitSettings,
  RateLimit,
  RpcName,
} from '../../config/gitaly/gitaly-config.ts';
import type { Identity } from '../identity.ts';
import type { DropReason } from './metrics.ts';
import type { LimitUse, RpcUse, ServerUse } from './server-use.ts';
import { possibleDropReasons, versionNumbers } from './versions.ts';

export interface ServerSnapshot {
  readonly identity: Identity;
  /** Undefined: its metrics were not read, or the read failed. */
  readonly use: ServerUse | undefined;
  /** Undefined: its configuration is unknown or invalid. */
  readonly config: GitalyConfig | undefined;
}

/** Undefined values are unknown. */
export interface LimitState {
  /** From config.toml, or built into Gitaly. */
  readonly configured: Limit | undefined;
  /** The adaptive limit that Gitaly applies at the moment. */
  readonly adaptive: number | undefined;
  /** The same for calls without a user, where they have limits of their own. */
  readonly unauthenticated: Pick<LimitState, 'configured' | 'adaptive'>;
  readonly queueSize: number | undefined;
  readonly queueWaitSeconds: number | undefined;
  /** Undefined when the server's metrics were not read or do not mention it. */
  readonly use: LimitUse | undefined;
}

interface RpcLimit extends RpcName, LimitState {
  readonly use: RpcUse | undefined;
}

export interface ServerLimits {
  readonly identity: Identity;
  /** The last read of its own metrics succeeded. */
  readonly isRead: boolean;
  readonly rpcs: readonly RpcLimit[];
  /** Those that its version can have. */
  readonly dropReasons: readonly DropReason[];
  readonly packObjects: LimitState;
  readonly rateLimits: readonly RateLimit[];
  /** By watcher: how often it had the adaptive limits cut. */
  readonly backoffs: ReadonlyMap<string, number>;
}

/** One that is built into Gitaly, at one call per repository: Gitaly's limithandler. */
const builtIn = { service: 'gitaly.RepositoryService', method: 'ReplicateRepository' } as const;

/** True: no configuration changes its limit. */
export const hasBuiltInLimit = ({ service, method }: RpcName): boolean =>
  service === builtIn.service && method === builtIn.method;

export function limitsOf({ identity, use, config }: ServerSnapshot): ServerLimits {
  const defaults = defaultsOf(use?.version);
  const rpcs = new Map<string, RpcLimit>();
  for (const rpc of use?.rpcs ?? []) {
    const { service, method } = rpc;
    const configured = hasBuiltInLimit(rpc) && config !== undefined ? builtInLimit : undefined;
    rpcs.set(rpcText(rpc), { service, method, ...stateOf({ ...unset, limit: configured }, rpc), use: rpc });
  }
  for (const rpc of config?.rpcs ?? []) {
    const { service, method } = rpc;
    const used = rpcs.get(rpcText(rpc))?.use;
    const state = stateOf(rpc, used, defaults.queueSize);
    rpcs.set(rpcText(rpc), { service, method, ...state, use: used });
  }
  return {
    identity,
    isRead: use !== undefined,
    rpcs: [...rpcs.values()],
    dropReasons: possibleDropReasons(use?.version),
    packObjects: packObjectsLimit(config, use?.packObjects, defaults),
    rateLimits: config?.rateLimits ?? [],
    backoffs: use?.backoffs ?? new Map(),
  };
}

const builtInLimit: Limit = { kind: 'static', current: 1 };

type Configured = LimitSettings & { readonly unauthenticated: Pick<LimitSettings, 'limit'> };

const unset: Configured = {
  limit: undefined,
  queueSize: undefined,
  queueWaitSeconds: undefined,
  unauthenticated: { limit: undefined },
};

/** A queue exists only where there is a limit. */
function stateOf(settings: Configured, use: LimitUse | undefined, defaultQueueSize?: number): LimitState {
  const { limit, queueSize = defaultQueueSize, queueWaitSeconds, unauthenticated } = settings;
  const hasQueue = limit !== undefined;
  return {
    configured: limit,
    adaptive: use?.adaptiveLimit,
    unauthenticated: { configured: unauthenticated.limit, adaptive: use?.adaptiveUnauthenticatedLimit },
    queueSize: hasQueue ? queueSize : undefined,
    queueWaitSeconds: hasQueue ? queueWaitSeconds : undefined,
    use,
  };
}

/** The limit acts only with the pack-objects cache on. */
function packObjectsLimit(
  config: GitalyConfig | undefined,
  use: LimitUse | undefined,
  defaults: Defaults,
): LimitState {
  if (config?.packObjectsCache !== true) return stateOf(unset, use);
  const { packObjects } = config;
  // The output of config_command may set it.
  const usesDefault =
    !packObjects.isSet && config.incomplete === undefined && defaults.packObjectsLimit !== undefined;
  const limit: Limit | undefined = usesDefault
    ? { kind: 'static', current: defaults.packObjectsLimit }
    : packObjects.limit;
  return stateOf({ ...packObjects, limit }, use, defaults.packObjectsQueueSize);
}

/** `gitaly.SSHService/SSHUploadPack` */
export const rpcText = ({ service, method }: RpcName): string => `${service}/${method}`;

/** What Gitaly uses when its config.toml does not set it, where its version is known. */
interface Defaults {
  /** Calls of a limited RPC that may wait per repository. */
  readonly queueSize: number | undefined;
  readonly packObjectsLimit: number | undefined;
  readonly packObjectsQueueSize: number | undefined;
}

/** Gitaly's internal/gitaly/config: 200 pack-objects per address since 16.1; bounded queues since 18.0 at the latest. */
const defaultsSince: readonly {
  readonly major: number;
  readonly minor: number;
  readonly defaults: Partial<Defaults>;
}[] = [
  { major: 16, minor: 1, defaults: { packObjectsLimit: 200 } },
  { major: 18, minor: 0, defaults: { queueSize: 500, packObjectsQueueSize: 200 } },
];

const noDefaults: Defaults = {
  queueSize: undefined,
  packObjectsLimit: undefined,
  packObjectsQueueSize: undefined,
};

/** @param version of `gitlab_build_info`; a build without a version number has no known defaults */
function defaultsOf(version: string | undefined): Defaults {
  const known = versionNumbers(version);
  if (known === undefined) return noDefaults;
  const reached = defaultsSince.filter(
    ({ major, minor }) => known.major > major || (known.major === major && known.minor >= minor),
  );
  return Object.assign({ ...noDefaults }, ...reached.map(({ defaults }) => defaults));
}
