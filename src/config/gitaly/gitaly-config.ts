/**
 * Gitaly's config.toml: its concurrency limits and the sizes of its cgroups.
 *
 * Keys as in Gitaly's internal/gitaly/config from 13.0 to 19; unknown keys are ignored, since the file is Gitaly's. What
 * Gitaly reads as "no limit", a 0 or a missing key, is no limit here. An entry that is wrong is reported, and the rest
 * is used: at its start Gitaly checks the types of values, and no limit against another.
 */

import { type Checked, good, problemText, type SettingProblem } from '../problem.ts';
import { readToml, type TableReader } from '../toml/document.ts';
import { templateValue } from '../toml/template.ts';

/** Calls that may run at the same time. */
export type Limit =
  | { readonly kind: 'static'; readonly current: number }
  | { readonly kind: 'adaptive'; readonly min: number; readonly max: number; readonly initial: number };

/** Undefined where the configuration sets none. */
export interface LimitSettings {
  readonly limit: Limit | undefined;
  /** Calls that may wait. */
  readonly queueSize: number | undefined;
  readonly queueWaitSeconds: number | undefined;
}

interface ConcurrencySettings extends LimitSettings {
  /** Of calls without a user, where they have limits of their own: from GitLab 18.9 on. */
  readonly unauthenticated: LimitSettings;
}

export interface RpcName {
  /** `gitaly.SSHService` */
  readonly service: string;
  readonly method: string;
}

type RpcConcurrency = RpcName & ConcurrencySettings;

export interface RateLimit extends RpcName {
  readonly burst: number;
  readonly intervalSeconds: number;
}

/** [cgroups]. Undefined is not set, or 0, which means the same to Gitaly. */
interface CgroupSizes {
  /** Contains `templateValue` where the chart's template fills it in. */
  readonly mountpoint: string;
  readonly hierarchyRoot: string;
  readonly memoryBytes: number | undefined;
  readonly cpuShares: number | undefined;
  readonly cpuQuotaUs: number | undefined;
  readonly repositories: {
    /** 0: Git runs in no cgroups of its own. */
    readonly count: number;
    readonly memoryBytes: number | undefined;
    readonly cpuShares: number | undefined;
    readonly cpuQuotaUs: number | undefined;
    /** 1 where it is not set. */
    readonly maxCgroupsPerRepo: number;
  };
}

export interface GitalyConfig {
  /** Names of [[storage]]. `templateValue` where the chart's template fills in the pod's name. */
  readonly storages: readonly string[];
  /** Paths of [[storage]]; contains `templateValue` likewise. */
  readonly storagePaths: readonly string[];
  readonly rpcs: readonly RpcConcurrency[];
  readonly packObjects: ConcurrencySettings & {
    /**
     * The file sets the limit, even to none; else Gitaly's default applies. Switching adaptive limiting off sets none.
     */
    readonly isSet: boolean;
  };
  /** The pack-objects limit acts only with the cache on. */
  readonly packObjectsCache: boolean;
  /** Up to GitLab 17. */
  readonly rateLimits: readonly RateLimit[];
  readonly cgroups: CgroupSizes;
  /**
   * Why the file is not all of Gitaly's configuration: config_command (16.1 and later) names a program whose output
   * adds to the file and replaces its values; or the chart's template fills in a value. What the file does not set is
   * then unknown, not unset.
   */
  readonly incomplete: string | undefined;
  /** Entries that are wrong, or that a template fills in: they are left out of the rest. */
  readonly problems: readonly SettingProblem[];
}

/**
 * The configuration, with the entries that are wrong; or why the text is none. Reads the chart's config.toml.tpl, too.
 *
 * @param name for the messages: the path, or the ConfigMap
 */
export function parseGitalyConfig(text: string, name: string): Checked<GitalyConfig> {
  const document = readToml(
    text,
    name,
    "this is a template of Gitaly's configuration, of an unknown kind: set the file that Gitaly reads",
  );
  if (!document.ok) return document;
  const problems: SettingProblem[] = [];
  const top = document.value.top(problems);
  const packObjects = top.table('pack_objects_limiting');
  const config: GitalyConfig = {
    storages: top.tables('storage').flatMap((at) => at.text('name') ?? []),
    storagePaths: top.tables('storage').flatMap((at) => at.text('path') ?? []),
    rpcs: readRpcs(top),
    packObjects: {
      ...readConcurrency(packObjects, 0),
      isSet:
        packObjects.value('max_concurrency') !== undefined || packObjects.get('adaptive', 'boolean') === true,
    },
    packObjectsCache: top.table('pack_objects_cache').get('enabled', 'boolean') ?? false,
    rateLimits: readRateLimits(top),
    cgroups: readCgroups(top.table('cgroups')),
    incomplete: undefined,
    problems,
  };
  const filledIn = problems.find(({ message }) => message.endsWith(isFilledInText));
  const incomplete =
    top.text('config_command') === undefined
      ? filledIn && problemText(filledIn)
      : `${name} is not all of Gitaly's configuration: the output of its config_command adds to this file`;
  return good(Object.freeze({ ...config, incomplete }));
}

/** The last of two entries of one RPC counts, as in Gitaly. */
function readRpcs(top: TableReader): readonly RpcConcurrency[] {
  const rpcs = new Map<string, RpcConcurrency>();
  let unauthenticatedBefore = 0;
  for (const at of top.tables('concurrency')) {
    const rpc = readRpc(at);
    const settings = readConcurrency(at, unauthenticatedBefore);
    if (at.value('unauthenticated') !== undefined) unauthenticatedBefore += 1;
    if (rpc !== undefined) rpcs.set(`${rpc.service}/${rpc.method}`, { ...rpc, ...settings });
  }
  return [...rpcs.values()];
}

function readRateLimits(top: TableReader): readonly RateLimit[] {
  return top.tables('rate_limiting').flatMap((at) => {
    const rpc = readRpc(at);
    const burst = readCount(at, 'burst');
    const intervalSeconds = readSeconds(at, 'interval');
    // Gitaly limits nothing when either is 0.
    return rpc === undefined || burst === undefined || intervalSeconds === undefined
      ? []
      : [{ ...rpc, burst, intervalSeconds }];
  });
}

function readRpc(at: TableReader): RpcName | undefined {
  if (isFilledIn(at, 'rpc')) return undefined;
  const found = at.get('rpc', 'string');
  const [, service, method] = /^\/([^/]+)\/([^/]+)$/.exec(found ?? '') ?? [];
  if (service !== undefined && method !== undefined) return { service, method };
  if (found !== undefined || at.value('rpc') === undefined)
    at.wrong(
      'rpc',
      'expected an RPC with its service, such as "/gitaly.SSHService/SSHUploadPackWithSidechannel"; Gitaly applies the limit to nothing else',
    );
  return undefined;
}

/** @param nth number of tables `unauthenticated` under the same header before it, for the lines of problems */
function readConcurrency(at: TableReader, nth: number): ConcurrencySettings {
  const key = 'unauthenticated';
  const [first] = Array.isArray(at.value(key)) ? at.tables(key, nth) : [];
  return { ...readLimitSettings(at), unauthenticated: readLimitSettings(first ?? at.table(key, nth)) };
}

function readLimitSettings(at: TableReader): LimitSettings {
  return {
    limit: readLimit(at),
    // [pack_objects_limiting] has max_queue_length up to 18, and both since.
    queueSize: readCount(at, 'max_queue_size') ?? readCount(at, 'max_queue_length'),
    queueWaitSeconds: readSeconds(at, 'max_queue_wait'),
  };
}

function readLimit(at: TableReader): Limit | undefined {
  const min = readCount(at, 'min_limit');
  const max = readCount(at, 'max_limit');
  const initial = readCount(at, 'initial_limit');
  // [[concurrency]] has max_per_repo, from 18 on also max_concurrency, which takes precedence.
  const current = readCount(at, 'max_concurrency') ?? readCount(at, 'max_per_repo');
  if (at.get('adaptive', 'boolean') !== true)
    return current === undefined ? undefined : { kind: 'static', current };
  // Without min_limit Gitaly may reduce the limit to 0.
  const least = min ?? 0;
  if (max !== undefined && initial !== undefined && least <= initial && initial <= max)
    return { kind: 'adaptive', min: least, max, initial };
  at.wrong(
    'adaptive',
    'needs min_limit, initial_limit and max_limit in ascending order, the last two above 0; otherwise the limit is unknown',
  );
  return undefined;
}

function readCgroups(at: TableReader): CgroupSizes {
  const repositories = at.table('repositories');
  // Up to 14.x all sizes applied to each repository's cgroup, and were in [cgroups.memory] and [cgroups.cpu].
  const memory = at.table('memory');
  const cpu = at.table('cpu');
  const older = (table: TableReader, key: string): number | undefined =>
    table.get('enabled', 'boolean') === true ? readCount(table, key) : undefined;
  return {
    mountpoint: at.text('mountpoint') ?? '/sys/fs/cgroup',
    hierarchyRoot: at.text('hierarchy_root') ?? 'gitaly',
    memoryBytes: readCount(at, 'memory_bytes'),
    cpuShares: readCount(at, 'cpu_shares'),
    cpuQuotaUs: readCount(at, 'cpu_quota_us'),
    repositories: {
      count: readCount(repositories, 'count') ?? readCount(at, 'count') ?? 0,
      memoryBytes: readCount(repositories, 'memory_bytes') ?? older(memory, 'limit'),
      cpuShares: readCount(repositories, 'cpu_shares') ?? older(cpu, 'shares'),
      cpuQuotaUs: readCount(repositories, 'cpu_quota_us'),
      maxCgroupsPerRepo: readCount(repositories, 'max_cgroups_per_repo') ?? 1,
    },
  };
}

/** A whole number above 0. Gitaly reads 0 and less as not set. */
function readCount(at: TableReader, key: string): number | undefined {
  if (isFilledIn(at, key)) return undefined;
  const found = at.get(key, 'integer');
  return found === undefined || found <= 0 ? undefined : found;
}

function readSeconds(at: TableReader, key: string): number | undefined {
  if (isFilledIn(at, key)) return undefined;
  const seconds = at.seconds(key);
  return seconds === undefined || seconds <= 0 ? undefined : seconds;
}

const isFilledInText = 'is filled in when Gitaly starts, so it is not known from the template';

/** A limit that the template fills in is unknown; ignoring it would show no limit. */
function isFilledIn(at: TableReader, key: string): boolean {
  const found = at.value(key);
  const filledIn = typeof found === 'string' && found.includes(templateValue);
  if (filledIn) at.wrong(key, isFilledInText);
  return filledIn;
}
