/**
 * Gitaly's config.toml: its concurrency limits and the sizes of its cgroups.
 *
 * Keys as in Gitaly's internal/gitaly/config from 13.0 to 19; unknown keys are ignored, since the file is Gitaly's. What
 * Gitaly reads as "no limit", a 0 or a missing key, is no limit here. An entry that is wrong is reported, and the rest
 * is used: at its start Gitaly checks the types of values, and no limit against another.
 */

import { goDurationOf } from '../go-duration.ts';
import { parseToml, type TableAt, type TomlReader, tomlReader } from '../praefect/toml.ts';
import { type Checked, good, problemText, type SettingProblem } from '../problem.ts';
import { isTemplate, templateToml, templateValue } from './template.ts';

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
  const toml = isTemplate(text) ? templateToml(text) : text;
  const document = parseToml(
    toml,
    name,
    "this is a template of Gitaly's configuration, of an unknown kind: set the file that Gitaly reads",
  );
  if (!document.ok) return document;
  const reader = tomlReader(toml, name);
  const top: TableAt = { table: document.value, header: '', nth: 0 };
  const cache = tableOf(reader, top, 'pack_objects_cache');
  const packObjects = tableOf(reader, top, 'pack_objects_limiting');
  const config: GitalyConfig = {
    storages: tablesOf(reader, top, 'storage').flatMap((at) => readText(reader, at, 'name') ?? []),
    rpcs: readRpcs(reader, top),
    packObjects: {
      ...readConcurrency(reader, packObjects, 0),
      isSet:
        Object.hasOwn(packObjects.table, 'max_concurrency') ||
        reader.get(packObjects, 'adaptive', 'boolean') === true,
    },
    packObjectsCache: reader.get(cache, 'enabled', 'boolean') ?? false,
    rateLimits: readRateLimits(reader, top),
    cgroups: readCgroups(reader, tableOf(reader, top, 'cgroups')),
    incomplete: undefined,
    problems: reader.problems,
  };
  const filledIn = reader.problems.find(({ message }) => message.endsWith(isFilledInText));
  const incomplete =
    readText(reader, top, 'config_command') === undefined
      ? filledIn && problemText(filledIn)
      : `${name} is not all of Gitaly's configuration: the output of its config_command adds to this file`;
  return good(Object.freeze({ ...config, incomplete }));
}

/** The last of two entries of one RPC counts, as in Gitaly. */
function readRpcs(reader: TomlReader, top: TableAt): readonly RpcConcurrency[] {
  const rpcs = new Map<string, RpcConcurrency>();
  let unauthenticatedBefore = 0;
  for (const at of tablesOf(reader, top, 'concurrency')) {
    const rpc = readRpc(reader, at);
    const settings = readConcurrency(reader, at, unauthenticatedBefore);
    if (Object.hasOwn(at.table, 'unauthenticated')) unauthenticatedBefore += 1;
    if (rpc !== undefined) rpcs.set(`${rpc.service}/${rpc.method}`, { ...rpc, ...settings });
  }
  return [...rpcs.values()];
}

function readRateLimits(reader: TomlReader, top: TableAt): readonly RateLimit[] {
  return tablesOf(reader, top, 'rate_limiting').flatMap((at) => {
    const rpc = readRpc(reader, at);
    const burst = readCount(reader, at, 'burst');
    const intervalSeconds = readSeconds(reader, at, 'interval');
    // Gitaly limits nothing when either is 0.
    return rpc === undefined || burst === undefined || intervalSeconds === undefined
      ? []
      : [{ ...rpc, burst, intervalSeconds }];
  });
}

function readRpc(reader: TomlReader, at: TableAt): RpcName | undefined {
  if (isFilledIn(reader, at, 'rpc')) return undefined;
  const found = reader.get(at, 'rpc', 'string');
  const [, service, method] = /^\/([^/]+)\/([^/]+)$/.exec(found ?? '') ?? [];
  if (service !== undefined && method !== undefined) return { service, method };
  if (found !== undefined || !Object.hasOwn(at.table, 'rpc'))
    reader.wrong(
      at,
      'rpc',
      'expected an RPC with its service, such as "/gitaly.SSHService/SSHUploadPackWithSidechannel"; Gitaly applies the limit to nothing else',
    );
  return undefined;
}

/** @param nth number of tables `unauthenticated` under the same header before it, for the lines of problems */
function readConcurrency(reader: TomlReader, at: TableAt, nth: number): ConcurrencySettings {
  return {
    ...readLimitSettings(reader, at),
    unauthenticated: readLimitSettings(reader, { ...unauthenticatedOf(reader, at), nth }),
  };
}

/** [concurrency.unauthenticated], or the first of several such tables. */
function unauthenticatedOf(reader: TomlReader, at: TableAt): TableAt {
  const found = Object.hasOwn(at.table, 'unauthenticated') ? at.table['unauthenticated'] : undefined;
  const [first] = Array.isArray(found) ? tablesOf(reader, at, 'unauthenticated') : [];
  return first ?? tableOf(reader, at, 'unauthenticated');
}

function readLimitSettings(reader: TomlReader, at: TableAt): LimitSettings {
  return {
    limit: readLimit(reader, at),
    // [pack_objects_limiting] has max_queue_length up to 18, and both since.
    queueSize: readCount(reader, at, 'max_queue_size') ?? readCount(reader, at, 'max_queue_length'),
    queueWaitSeconds: readSeconds(reader, at, 'max_queue_wait'),
  };
}

function readLimit(reader: TomlReader, at: TableAt): Limit | undefined {
  const min = readCount(reader, at, 'min_limit');
  const max = readCount(reader, at, 'max_limit');
  const initial = readCount(reader, at, 'initial_limit');
  // [[concurrency]] has max_per_repo, from 18 on also max_concurrency, which takes precedence.
  const current = readCount(reader, at, 'max_concurrency') ?? readCount(reader, at, 'max_per_repo');
  if (reader.get(at, 'adaptive', 'boolean') !== true)
    return current === undefined ? undefined : { kind: 'static', current };
  // Without min_limit Gitaly may reduce the limit to 0.
  const least = min ?? 0;
  if (max !== undefined && initial !== undefined && least <= initial && initial <= max)
    return { kind: 'adaptive', min: least, max, initial };
  reader.wrong(
    at,
    'adaptive',
    'needs min_limit, initial_limit and max_limit in ascending order, the last two above 0; otherwise the limit is unknown',
  );
  return undefined;
}

function readCgroups(reader: TomlReader, at: TableAt): CgroupSizes {
  const repositories = tableOf(reader, at, 'repositories');
  const size = (table: TableAt, key: string): number | undefined => readCount(reader, table, key);
  // Up to 14.x all sizes applied to each repository's cgroup, and were in [cgroups.memory] and [cgroups.cpu].
  const memory = tableOf(reader, at, 'memory');
  const cpu = tableOf(reader, at, 'cpu');
  const older = (table: TableAt, key: string): number | undefined =>
    reader.get(table, 'enabled', 'boolean') === true ? size(table, key) : undefined;
  return {
    mountpoint: readText(reader, at, 'mountpoint') ?? '/sys/fs/cgroup',
    hierarchyRoot: readText(reader, at, 'hierarchy_root') ?? 'gitaly',
    memoryBytes: size(at, 'memory_bytes'),
    cpuShares: size(at, 'cpu_shares'),
    cpuQuotaUs: size(at, 'cpu_quota_us'),
    repositories: {
      count: size(repositories, 'count') ?? size(at, 'count') ?? 0,
      memoryBytes: size(repositories, 'memory_bytes') ?? older(memory, 'limit'),
      cpuShares: size(repositories, 'cpu_shares') ?? older(cpu, 'shares'),
      cpuQuotaUs: size(repositories, 'cpu_quota_us'),
      maxCgroupsPerRepo: size(repositories, 'max_cgroups_per_repo') ?? 1,
    },
  };
}

/** A whole number above 0. Gitaly reads 0 and less as not set. */
function readCount(reader: TomlReader, at: TableAt, key: string): number | undefined {
  if (isFilledIn(reader, at, key)) return undefined;
  const found = reader.get(at, key, 'integer');
  return found === undefined || found <= 0 ? undefined : found;
}

function readSeconds(reader: TomlReader, at: TableAt, key: string): number | undefined {
  if (isFilledIn(reader, at, key)) return undefined;
  const found = Object.hasOwn(at.table, key) ? at.table[key] : undefined;
  if (found === undefined || found === '') return undefined;
  const seconds = goDurationOf(found);
  if (seconds === undefined) reader.wrong(at, key, 'expected a duration such as "1m30s" or "500ms"');
  return seconds === undefined || seconds <= 0 ? undefined : seconds;
}

/** Gitaly reads an empty string as not set. */
function readText(reader: TomlReader, at: TableAt, key: string): string | undefined {
  const found = reader.get(at, key, 'string');
  return found === '' ? undefined : found;
}

const isFilledInText = 'is filled in when Gitaly starts, so it is not known from the template';

/** A limit that the template fills in is unknown; ignoring it would show no limit. */
function isFilledIn(reader: TomlReader, at: TableAt, key: string): boolean {
  const found = Object.hasOwn(at.table, key) ? at.table[key] : undefined;
  const filledIn = typeof found === 'string' && found.includes(templateValue);
  if (filledIn) reader.wrong(at, key, isFilledInText);
  return filledIn;
}

/** Empty if the table is missing. */
function tableOf(reader: TomlReader, { table, header, nth }: TableAt, key: string): TableAt {
  const found = reader.get({ table, header, nth }, key, 'table');
  return { table: found ?? {}, header: headerOf(header, key), nth };
}

function tablesOf(reader: TomlReader, { table, header, nth }: TableAt, key: string): readonly TableAt[] {
  const found = reader.get({ table, header, nth }, key, 'tables') ?? [];
  return found.map((each, index) => ({ table: each, header: headerOf(header, key), nth: index }));
}

const headerOf = (above: string, key: string): string => (above === '' ? key : `${above}.${key}`);
