/**
 * What Gitaly called its limits' metrics, from GitLab 13.0 to 19: the one place that knows its names and labels.
 *
 * A page is read by the names on it, not by the version it claims: development builds report `(devel)`, and no name
 * was ever used for two things. Sources: Gitaly at 13.5.0, 14.9.0, 16.7.0, 17.2.0-rc1 and of May 2026, and its
 * release tags for what lies between.
 */
import type { RpcName } from '../../config/gitaly/gitaly-config.ts';
import { type DropReason, dropReasons } from './metrics.ts';

/** What a family measures, in this exporter's terms. */
type Measures = 'in progress' | 'queued' | 'wait' | 'dropped' | 'shed' | 'adaptive limit' | 'backoffs';

interface NativeFamily {
  /** As it stands on the page; of a histogram, without `_bucket`, `_sum` and `_count`. */
  readonly family: string;
  readonly first: string;
  /** Undefined: still there. */
  readonly last?: string;
  readonly measures: Measures;
  /** Default: of RPCs. */
  readonly of?: 'pack-objects';
}

export const nativeFamilies: readonly NativeFamily[] = [
  // What limits concurrency was called rate limiting at first, and renamed without an overlap.
  { first: '13.0', last: '14.9', family: 'gitaly_rate_limiting_in_progress', measures: 'in progress' },
  { first: '13.0', last: '14.9', family: 'gitaly_rate_limiting_queued', measures: 'queued' },
  { first: '13.0', last: '14.9', family: 'gitaly_rate_limiting_acquiring_seconds', measures: 'wait' },

  // 14.8 brings queues that can be full, and drops; 18.10 a label for those without a user.
  { first: '14.8', family: 'gitaly_requests_dropped_total', measures: 'dropped' },

  { first: '14.10', family: 'gitaly_concurrency_limiting_in_progress', measures: 'in progress' },
  { first: '14.10', family: 'gitaly_concurrency_limiting_queued', measures: 'queued' },
  { first: '14.10', family: 'gitaly_concurrency_limiting_acquiring_seconds', measures: 'wait' },

  // Up to 16.1 with a label `type` for what is limited (user, repository), from 18.9 on with `auth`: summed over both.
  { first: '15.6', family: 'gitaly_pack_objects_in_progress', measures: 'in progress', of: 'pack-objects' },
  { first: '15.6', family: 'gitaly_pack_objects_queued', measures: 'queued', of: 'pack-objects' },
  { first: '15.6', family: 'gitaly_pack_objects_acquiring_seconds', measures: 'wait', of: 'pack-objects' },
  { first: '15.6', family: 'gitaly_pack_objects_dropped_total', measures: 'dropped', of: 'pack-objects' },

  { first: '16.3', family: 'gitaly_concurrency_limiting_current_limit', measures: 'adaptive limit' },
  { first: '16.3', family: 'gitaly_concurrency_limiting_backoff_events_total', measures: 'backoffs' },

  { first: '19.0', family: 'gitaly_loadshedder_rpcs_shed_total', measures: 'shed' },
];

/** `gitlab_build_info{version}`; until something is dropped, 14.9 and 14.8 differ in nothing else. */
export const buildInfoSample = 'gitlab_build_info';

export type HistogramPart = 'bucket' | 'sum' | 'count';

/** What a sample on the page measures. */
export interface NativeSample extends Pick<NativeFamily, 'measures' | 'of'> {
  /** Of a histogram. */
  readonly part?: HistogramPart;
}

/** By the sample's name on the page. */
export const nativeSamples: ReadonlyMap<string, NativeSample> = new Map(
  nativeFamilies.flatMap(({ family, ...native }): (readonly [string, NativeSample])[] =>
    native.measures === 'wait'
      ? (['bucket', 'sum', 'count'] as const).map((part) => [`${family}_${part}`, { ...native, part }])
      : [[family, native]],
  ),
);

/** Names of the samples that the parser keeps. */
export const wantedSamples: ReadonlySet<string> = new Set([buildInfoSample, ...nativeSamples.keys()]);

/** Begins a name on every page of Praefect and on none of Gitaly. */
export const praefectPrefix = 'gitaly_praefect_';

/** Begins a name on every page of either. */
export const gitalyPrefix = 'gitaly_';

/**
 * The RPC of a sample; undefined when its labels do not name one. Up to 13.7 the gauges' values were shifted by one
 * label: the service in `system`, the method in `grpc_service`, and the word gitaly in `grpc_method`. Those of the
 * histogram were right.
 */
export function rpcOf(labels: ReadonlyMap<string, string>): RpcName | undefined {
  const [system, service, method] = ['system', 'grpc_service', 'grpc_method'].map((name) => labels.get(name));
  if (service === undefined || method === undefined) return undefined;
  if (method === 'gitaly' && system !== undefined && system !== 'gitaly')
    return { service: system, method: service };
  return { service, method };
}

/** Gitaly's reason under this exporter's name. One that a later version may add counts as `other`, Gitaly's own `other`. */
export const reasonOf = (native: string | undefined): DropReason => reasons.get(native ?? '') ?? 'other';

const reasons: ReadonlyMap<string, DropReason> = new Map([
  ['max_size', 'queue_full'],
  ['max_time', 'queue_wait'],
  ['other', 'other'], // from 16.x on
  ['rate', 'rate'], // 14.8 to 17.11: rate limits of [[rate_limiting]]
]);

/** What an adaptive limit applies to: pack-objects, or an RPC; from 18.9 on also calls without a user alone. */
interface AdaptiveLimitName {
  readonly of: 'pack-objects' | RpcName;
  readonly unauthenticated: boolean;
}

/** `packObjects`, `perRPC/gitaly.SSHService/SSHUploadPack`, either with `-unauthenticated`; undefined: of another form. */
export function adaptiveLimitName(name: string | undefined): AdaptiveLimitName | undefined {
  const [, path, suffix] = /^(packObjects|perRPC\/[^/]+\/[^/]+?)(-unauthenticated)?$/.exec(name ?? '') ?? [];
  if (path === undefined) return undefined;
  const unauthenticated = suffix !== undefined;
  const [, service = '', method = ''] = path.split('/');
  return { of: path === 'packObjects' ? 'pack-objects' : { service, method }, unauthenticated };
}

/** Whether a dropped call had a user; undefined before 18.10, which does not report it. */
export const hadUser = (labels: ReadonlyMap<string, string>): boolean | undefined => {
  const authenticated = labels.get('authenticated');
  return authenticated === undefined ? undefined : authenticated === 'true';
};

/**
 * Whether this Gitaly counts drops, which a page without any does not show.
 *
 * @param version of `gitlab_build_info`: `14.9.0`, `(devel)`
 * @param names the wanted samples on the page
 */
export function countsDrops(version: string | undefined, names: ReadonlySet<string>): boolean {
  const known = versionNumbers(version);
  if (known !== undefined) return known.major > 14 || (known.major === 14 && known.minor >= 8);
  return [...names].some((name) => !name.startsWith('gitaly_rate_limiting_') && name !== buildInfoSample);
}

/** The reasons for which this Gitaly can drop a call, each counted from 0 on. All of them where the version is unknown. */
export function possibleDropReasons(version: string | undefined): readonly DropReason[] {
  const { major } = versionNumbers(version) ?? {};
  if (major === undefined) return dropReasons;
  return dropReasons.filter((reason) => {
    if (reason === 'rate') return major < 18;
    return reason === 'load_shed' ? major >= 19 : true;
  });
}

/** Undefined for a build without a version number, such as `(devel)`. */
export function versionNumbers(
  version: string | undefined,
): { readonly major: number; readonly minor: number } | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}
