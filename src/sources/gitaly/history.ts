/**
 * What Gitaly called its limits' metrics, from GitLab 13.0 to 19: the one place that knows its names and labels.
 *
 * A page is read by the names that are on it, not by the version that it claims: builds call themselves (devel), and
 * a name was never used for two things. Sources: Gitaly's own at 13.5.0, 14.9.0, 16.7.0, 17.2.0-rc1 and of May 2026,
 * and its release tags for what lies between.
 */
import type { DropReason } from './metrics.ts';

/** What a family tells, in this room's terms. */
export type Tells =
  | 'in progress'
  | 'queued'
  | 'wait'
  | 'dropped'
  | 'shed'
  | 'adaptive limit'
  | 'backoffs'
  | 'pack-objects in progress'
  | 'pack-objects queued'
  | 'pack-objects wait'
  | 'pack-objects dropped';

export interface FamilyOfSomeVersions {
  /** As it stands on the page; of a histogram, without `_bucket`, `_sum` and `_count`. */
  readonly family: string;
  readonly first: string;
  /** Undefined: still there. */
  readonly last?: string;
  readonly tells: Tells;
}

export const history: readonly FamilyOfSomeVersions[] = [
  // What limits concurrency was called rate limiting at first, and renamed without an overlap.
  { first: '13.0', last: '14.9', family: 'gitaly_rate_limiting_in_progress', tells: 'in progress' },
  { first: '13.0', last: '14.9', family: 'gitaly_rate_limiting_queued', tells: 'queued' },
  { first: '13.0', last: '14.9', family: 'gitaly_rate_limiting_acquiring_seconds', tells: 'wait' },

  // 14.8 brings queues that can be full and clients that are turned away; 18.10 tells those without a user apart.
  { first: '14.8', family: 'gitaly_requests_dropped_total', tells: 'dropped' },

  { first: '14.10', family: 'gitaly_concurrency_limiting_in_progress', tells: 'in progress' },
  { first: '14.10', family: 'gitaly_concurrency_limiting_queued', tells: 'queued' },
  { first: '14.10', family: 'gitaly_concurrency_limiting_acquiring_seconds', tells: 'wait' },

  // Up to 16.1 with a label `type` for what is limited (user, repository), from 18.9 on with `auth`: summed over both.
  { first: '15.6', family: 'gitaly_pack_objects_in_progress', tells: 'pack-objects in progress' },
  { first: '15.6', family: 'gitaly_pack_objects_queued', tells: 'pack-objects queued' },
  { first: '15.6', family: 'gitaly_pack_objects_acquiring_seconds', tells: 'pack-objects wait' },
  { first: '15.6', family: 'gitaly_pack_objects_dropped_total', tells: 'pack-objects dropped' },

  { first: '16.3', family: 'gitaly_concurrency_limiting_current_limit', tells: 'adaptive limit' },
  { first: '16.3', family: 'gitaly_concurrency_limiting_backoff_events_total', tells: 'backoffs' },

  { first: '19.0', family: 'gitaly_loadshedder_rpcs_shed_total', tells: 'shed' },
];

/** `gitlab_build_info{version}`; 14.9 and 14.8 look alike but for it when nobody was turned away yet. */
export const buildInfo = 'gitlab_build_info';

const histograms: ReadonlySet<Tells> = new Set<Tells>(['wait', 'pack-objects wait']);

/** Names of samples that a page is searched for. */
export const wantedSamples: ReadonlySet<string> = new Set([
  buildInfo,
  ...history.flatMap(({ family, tells }) =>
    histograms.has(tells) ? [`${family}_bucket`, `${family}_sum`, `${family}_count`] : [family],
  ),
]);

/** Begins a name on every page of Praefect and on none of Gitaly. */
export const praefectPrefix = 'gitaly_praefect_';

/** Begins a name on every page of either. */
export const gitalyPrefix = 'gitaly_';

export interface Rpc {
  /** `gitaly.SSHService` */
  readonly service: string;
  /** `SSHUploadPackWithSidechannel` */
  readonly method: string;
}

/**
 * Which RPC a sample is about; undefined when it does not say. Up to 13.7 the gauges' values stood one label too far
 * on: the service in `system`, the method in `grpc_service`, and the word gitaly in `grpc_method`. Those of the
 * histogram were right.
 */
export function rpcOf(labels: ReadonlyMap<string, string>): Rpc | undefined {
  const [system, service, method] = ['system', 'grpc_service', 'grpc_method'].map((name) => labels.get(name));
  if (service === undefined || method === undefined) return undefined;
  if (method === 'gitaly' && system !== undefined && system !== 'gitaly')
    return { service: system, method: service };
  return { service, method };
}

/** What Gitaly's reasons are called here. A reason that a later version may bring counts as `cancelled`, Gitaly's own `other`. */
export const reasonOf = (native: string | undefined): DropReason => reasons.get(native ?? '') ?? 'cancelled';

const reasons: ReadonlyMap<string, DropReason> = new Map([
  ['max_size', 'queue_full'],
  ['max_time', 'queue_wait'],
  ['other', 'cancelled'], // from 16.x on
  ['rate', 'rate'], // 14.8 to 17.11: rate limits of [[rate_limiting]]
]);

/** What an adaptive limit is about: pack-objects, or an RPC; from 18.9 on also for calls without a user alone. */
export interface LimitName {
  readonly of: 'pack-objects' | Rpc;
  readonly unauthenticated: boolean;
}

/** `packObjects`, `perRPC/gitaly.SSHService/SSHUploadPack`, either with `-unauthenticated`; undefined: of another form. */
export function limitNameOf(name: string | undefined): LimitName | undefined {
  const [, path, suffix] = /^(packObjects|perRPC\/[^/]+\/[^/]+?)(-unauthenticated)?$/.exec(name ?? '') ?? [];
  if (path === undefined) return undefined;
  const unauthenticated = suffix !== undefined;
  const [, service = '', method = ''] = path.split('/');
  return { of: path === 'packObjects' ? 'pack-objects' : { service, method }, unauthenticated };
}

/** From 18.10 on a drop says whether the call had a user; undefined before. */
export const hadUser = (labels: ReadonlyMap<string, string>): boolean | undefined => {
  const said = labels.get('authenticated');
  return said === undefined ? undefined : said === 'true';
};

/**
 * Whether this Gitaly counts those whom it turns away, which a page without any does not show.
 *
 * @param version what `gitlab_build_info` says: `14.9.0`, `(devel)`
 * @param names the wanted samples that are on the page
 */
export function countsDrops(version: string | undefined, names: ReadonlySet<string>): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (major !== undefined) return Number(major) > 14 || (Number(major) === 14 && Number(minor) >= 8);
  return [...names].some((name) => !name.startsWith('gitaly_rate_limiting_') && name !== buildInfo);
}
