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
} from '../external-metrics.ts';
import {
  above,
  and,
  divide,
  equals,
  groupBy,
  like,
  maxOverTime,
  oneOf,
  or,
  rate,
  select,
  sumBy,
} from '../promql/index.ts';
import { gaugeWindow, highest, lowest, recording } from '../recording.ts';

/** Cordoned nodes with pods of Gitaly, by the namespace of the pods. */
export const cordonedNodes = recording(
  'gitaly:node_cordoned:active',
  ['cluster', 'namespace', 'node'],
  (thresholds) => [
    {
      expression: and(
        groupBy(['cluster', 'namespace', 'node'], maxOverTime(select(podReady), gaugeWindow(thresholds))),
        equals(lowest(thresholds, ['cluster', 'node'], select(nodeUnschedulable)), 1),
        { on: ['cluster', 'node'] },
      ),
    },
  ],
);

/** The scope of gRPC's own metrics: the job that scrapes Gitaly. */
export const grpcLabels = ['cluster', 'namespace', 'job'] as const;

const gitalyCalls = { grpc_service: like('gitaly[.].+') } as const;
/** Failures of the server: neither those that the client causes (NotFound, Canceled, DeadlineExceeded) nor limits. */
const serverFaults = oneOf('Unknown', 'Internal', 'Unavailable', 'DataLoss');

const burnWindows = ['5m', '30m', '1h', '6h'] as const;
export type BurnWindow = (typeof burnWindows)[number];

/** Ratio of Gitaly's RPCs that failed by the server's fault, of at least errorBudgetMinimum calls. */
export const grpcErrorRatio = Object.fromEntries(
  burnWindows.map((window) => [
    window,
    recording(`gitaly:grpc_errors:ratio_rate${window}`, grpcLabels, () => [
      {
        expression: divide(
          sumBy(grpcLabels, rate(select(grpcHandled, { ...gitalyCalls, grpc_code: serverFaults }), window)),
          sumBy(grpcLabels, rate(select(grpcHandled, gitalyCalls), window)),
          { on: grpcLabels },
        ),
      },
    ]),
  ]),
) as Readonly<Record<BurnWindow, ReturnType<typeof recording<(typeof grpcLabels)[number]>>>>;

/** Gitaly's RPCs per second over an hour: the traffic gate of error ratios. */
export const grpcRate = recording('gitaly:grpc_requests:rate1h', grpcLabels, () => [
  { expression: sumBy(grpcLabels, rate(select(grpcHandled, gitalyCalls), '1h')) },
]);

/** The chart's claims are repo-data-<release>-gitaly-<n>; the Linux package's data are below /var/opt/gitlab. */
const gitalyClaims = { persistentvolumeclaim: like('.*gitaly.*') } as const;
const gitalyMounts = { mountpoint: like('/var/opt/gitlab.*') } as const;
export const claimLabels = ['cluster', 'namespace', 'persistentvolumeclaim'] as const;
const mountLabels = ['cluster', 'instance', 'mountpoint'] as const;
export const volumeLabels = [...claimLabels, 'instance', 'mountpoint'] as const;

const volumeRatio = (
  name: string,
  [claimFree, claimSize]: readonly [typeof claimAvailableBytes, typeof claimCapacityBytes],
  [mountFree, mountSize]: readonly [typeof filesystemAvailable, typeof filesystemSize],
) =>
  recording(name, volumeLabels, (thresholds) => {
    const claims = divide(
      highest(thresholds, claimLabels, select(claimFree, gitalyClaims)),
      above(highest(thresholds, claimLabels, select(claimSize, gitalyClaims)), 0),
      { on: claimLabels },
    );
    const mounts = divide(
      highest(thresholds, mountLabels, select(mountFree, gitalyMounts)),
      above(highest(thresholds, mountLabels, select(mountSize, gitalyMounts)), 0),
      { on: mountLabels },
    );
    return [{ expression: or<string, string>(claims, mounts) }];
  });

/** Available space of the volumes with Gitaly's repositories, from the kubelet or node_exporter. */
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

export const platformRecordings = [
  cordonedNodes,
  ...burnWindows.map((window) => grpcErrorRatio[window]),
  grpcRate,
  volumeAvailable,
  inodesAvailable,
] as const;
