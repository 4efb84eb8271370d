/** Recorded from what Gitaly runs on, nodes and volumes, and from its gRPC metrics. */
import { nodeUnschedulable, podReady } from '../../sources/kubernetes/metrics.ts';
import {
  claimAvailableBytes,
  claimCapacityBytes,
  claimInodes,
  claimInodesFree,
  filesystemAvailable,
  filesystemFiles,
  filesystemFilesFree,
  filesystemSize,
  grpcHandled,
  targetUp,
} from '../external-metrics.ts';
import {
  above,
  and,
  divide,
  equals,
  type GaugeSelector,
  groupBy,
  like,
  maxOverTime,
  oneOf,
  or,
  type Range,
  rate,
  select,
  sumBy,
  sumOverTime,
  type Vector,
} from '../promql/index.ts';
import { eachLowest, gaugeWindow, heldWhileUnread, highest, recorded, recording } from '../recording.ts';
import type { RepositoryVolumes } from '../settings.ts';

/** Cordoned nodes with pods of Gitaly, by the namespace of the pods. */
export const cordonedNodes = recording(
  'gitaly:node_cordoned:active',
  ['cluster', 'namespace', 'node'],
  (thresholds) =>
    and(
      groupBy(['cluster', 'namespace', 'node'], maxOverTime(select(podReady), gaugeWindow(thresholds))),
      equals(eachLowest(thresholds, select(nodeUnschedulable)), 1),
      { on: ['cluster', 'node'] },
    ),
);

/** The scope of gRPC's own metrics: the job that scrapes Gitaly. */
export const grpcLabels = ['cluster', 'namespace', 'job'] as const;

const gitalyCalls = { grpc_service: like('gitaly[.].+') } as const;
/** Failures of the server: neither those that the client causes (NotFound, Canceled, DeadlineExceeded) nor limits. */
const serverFaults = oneOf('Unknown', 'Internal', 'Unavailable', 'DataLoss');

const callRate = (window: Range) => sumBy(grpcLabels, rate(select(grpcHandled, gitalyCalls), window));
const faultRate = (window: Range) =>
  sumBy(grpcLabels, rate(select(grpcHandled, { ...gitalyCalls, grpc_code: serverFaults }), window));

const burnWindows = ['5m', '30m', '1h', '6h'] as const;
export type BurnWindow = (typeof burnWindows)[number];

/** Ratio of Gitaly's RPCs that failed by the server's fault, of at least errorBudgetMinimum calls. */
export const grpcErrorRatio = Object.fromEntries(
  burnWindows.map((window) => [
    window,
    recording(`gitaly:grpc_errors:ratio_rate${window}`, grpcLabels, () =>
      divide(faultRate(window), callRate(window), { on: grpcLabels }),
    ),
  ]),
) as Readonly<Record<BurnWindow, ReturnType<typeof recording<(typeof grpcLabels)[number]>>>>;

/** Gitaly's RPCs per second over an hour: the traffic gate of error ratios. */
export const grpcRate = recording('gitaly:grpc_requests:rate1h', grpcLabels, () => callRate('1h'));

export const claimsOf = ({ claim }: RepositoryVolumes) => ({ persistentvolumeclaim: like(claim) }) as const;
export const mountsOf = ({ mountpoint }: RepositoryVolumes) => ({ mountpoint: like(mountpoint) }) as const;
export const claimLabels = ['cluster', 'namespace', 'persistentvolumeclaim'] as const;
export const mountLabels = ['cluster', 'instance', 'mountpoint'] as const;
export const volumeLabels = [...claimLabels, 'instance', 'mountpoint'] as const;

const volumeRatio = (
  name: string,
  [claimFree, claimSize]: readonly [typeof claimAvailableBytes, typeof claimCapacityBytes],
  [mountFree, mountSize]: readonly [typeof filesystemAvailable, typeof filesystemSize],
) =>
  recording(name, volumeLabels, (thresholds, volumes) => {
    // A target that responds and no longer has a volume was unmounted from it.
    const responds = equals(maxOverTime(select(targetUp), gaugeWindow(thresholds)), 1);
    const held = <By extends string>(by: readonly By[], selector: GaugeSelector<By>): Vector<By> =>
      heldWhileUnread(thresholds, by, highest(thresholds, by, selector), selector, responds, [
        'cluster',
        'job',
        'instance',
      ]);
    const ratio = <By extends string>(
      by: readonly By[],
      free: GaugeSelector<By>,
      size: GaugeSelector<By>,
    ): Vector<By> => divide(held(by, free), above(held(by, size), 0), { on: by });
    const ofClaims = claimsOf(volumes);
    const claims = ratio(claimLabels, select(claimFree, ofClaims), select(claimSize, ofClaims));
    const ofMounts = mountsOf(volumes);
    const mounts = ratio(mountLabels, select(mountFree, ofMounts), select(mountSize, ofMounts));
    return [{ expression: or<string, string>(claims, mounts) }];
  });

/**
 * Available space of the volumes with Gitaly's repositories, from the kubelet or node_exporter; the last known one while
 * that target does not respond.
 */
export const volumeAvailable = volumeRatio(
  'gitaly:volume_available:ratio',
  [claimAvailableBytes, claimCapacityBytes],
  [filesystemAvailable, filesystemSize],
);

/** Free inodes of the same volumes; not recorded for file systems without a number of inodes (XFS, Btrfs). */
export const inodesAvailable = volumeRatio(
  'gitaly:volume_inodes_available:ratio',
  [claimInodesFree, claimInodes],
  [filesystemFilesFree, filesystemFiles],
);

/** Gitaly's RPCs per second that failed by the server's fault, over an hour. */
export const grpcFailureRate = recording('gitaly:grpc_errors:rate1h', grpcLabels, () => faultRate('1h'));

/**
 * The same ratio over three days, of the recorded rates: a rate over three days would read every series of every pod.
 * Sums, not averages: while there are no errors, Gitaly has no series of them.
 */
export const grpcErrorRatioOfDays = recording('gitaly:grpc_errors:ratio_rate3d', grpcLabels, () =>
  divide(sumOverTime(recorded(grpcFailureRate), '3d'), sumOverTime(recorded(grpcRate), '3d'), {
    on: grpcLabels,
  }),
);

export const platformRecordings = [
  cordonedNodes,
  ...burnWindows.map((window) => grpcErrorRatio[window]),
  grpcRate,
  grpcFailureRate,
  grpcErrorRatioOfDays,
  volumeAvailable,
  inodesAvailable,
] as const;
