/** Volumes with repositories: space and inodes. */
import { durationInWords, lastInWords, promDuration } from '../../src/monitoring/durations.ts';
import { claimAvailableBytes, filesystemAvailable } from '../../src/monitoring/external-metrics.ts';
import { capacityDashboard } from '../../src/monitoring/links.ts';
import {
  and,
  below,
  equals,
  type GaugeSelector,
  maxBy,
  maxOverTime,
  multiply,
  relabelled,
  select,
  subtract,
  unless,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import { eachHighest, recorded, sustained } from '../../src/monitoring/recording.ts';
import { podLabels } from '../../src/monitoring/recordings/gitaly.ts';
import {
  claimLabels,
  claimsOf,
  inodesAvailable,
  mountLabels,
  mountsOf,
  volumeAvailable,
  volumeLabels,
} from '../../src/monitoring/recordings/platform.ts';
import type { RepositoryVolumes } from '../../src/monitoring/settings.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { hour, minute, ratio, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import { podReady } from '../../src/sources/kubernetes/metrics.ts';
import { type Alert, alert } from '../alert.ts';
import { percent, withoutProblem } from '../texts.ts';

export const volumeThresholds = {
  volumeAvailableFor: seconds(10 * minute, 'Longer than the temporary files of one repack.'),
  volumeForecast: seconds(
    7 * 24 * hour,
    'The volume is full within this time at the rate of a day: enough to extend it, after the days that the forecast needs.',
  ),
  volumeForecastBelow: ratio(0.5, 'Available space by size: above it, a forecast of days means nothing.'),
  volumeForecastFor: seconds(
    30 * hour,
    'Longer than the day for which an import of some hours looks like growth.',
  ),
  volumeMetricsMissing: seconds(
    15 * minute,
    'The kubelet or node_exporter stopped reporting a volume: longer than the restart of a node.',
  ),
} satisfies ThresholdTable;

export const volumeAlerts = (thresholds: AlertThresholds, volumes: RepositoryVolumes): readonly Alert[] => [
  volumeFilling(thresholds),
  volumeForecast(thresholds),
  inodesFilling(thresholds),
  ...volumeMetricsMissing(thresholds, volumes),
];

const volumeName = '{{ or $labels.persistentvolumeclaim $labels.mountpoint }}';

function volumeFilling(thresholds: AlertThresholds): Alert {
  const { keepFiring, volumeAvailable: least, volumeAvailableFor } = thresholds;
  return alert({
    name: 'GitalyVolumeFilling',
    severity: 'critical',
    expression: below(recorded(volumeAvailable), least.value),
    forSeconds: sustained(thresholds, volumeAvailableFor.value),
    noProblem: withoutProblem.notRead,
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: capacityDashboard, title: 'Available space of the volumes' },
    firesWhen: `for ${durationInWords(volumeAvailableFor.value)}, less than ${percent(least.value)} of a volume with repositories was available. Needs the kubelet's volume metrics, or node_exporter's; without them the alert cannot fire`,
    summary: ({ value }) => `Volume ${volumeName} of Gitaly has ${value('percent')} available`,
    description: () =>
      'When it is full, every push to its repositories fails, and repacks that would free space cannot run. Extend the volume, or move repositories to another storage.',
  });
}

function volumeForecast(thresholds: AlertThresholds): Alert {
  const { volumeForecast: within, volumeForecastBelow, volumeForecastFor } = thresholds;
  // The highest available space of a day: temporary files of a backup or a repack do not move it.
  const best = maxOverTime(recorded(volumeAvailable), '1d');
  const before = maxOverTime(recorded(volumeAvailable), '1d', '1d');
  const on = { on: volumeLabels };
  // The highest value of a day is a day old in a steady decline.
  const days = within.value / 86_400 + 1;
  return alert({
    name: 'GitalyVolumeForecast',
    severity: 'warning',
    expression: below(
      subtract(below(best, volumeForecastBelow.value), multiply(days, subtract(before, best, on)), on),
      0,
    ),
    forSeconds: volumeForecastFor.value,
    noProblem: withoutProblem.notRead,
    panel: { dashboard: capacityDashboard, title: 'Available space of the volumes' },
    firesWhen: `for ${durationInWords(volumeForecastFor.value)}, a volume with less than ${percent(volumeForecastBelow.value)} available filled so fast that it is full within ${durationInWords(within.value)}. Needs the same metrics as GitalyVolumeFilling`,
    summary: () => `Volume ${volumeName} of Gitaly is full within ${durationInWords(within.value)}`,
    description: () =>
      'By its growth from day to day, without temporary files. Extend the volume, move repositories, or find the project that grows (object pools, large files without LFS, job artifacts in Git).',
  });
}

function inodesFilling(thresholds: AlertThresholds): Alert {
  const { inodesAvailable: least, keepFiring, volumeAvailableFor } = thresholds;
  return alert({
    name: 'GitalyInodesFilling',
    severity: 'critical',
    expression: below(recorded(inodesAvailable), least.value),
    forSeconds: sustained(thresholds, volumeAvailableFor.value),
    noProblem: withoutProblem.notRead,
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: capacityDashboard, title: 'Free inodes of the volumes' },
    firesWhen: `for ${durationInWords(volumeAvailableFor.value)}, less than ${percent(least.value)} of the inodes of a volume with repositories were free. Needs the same metrics as GitalyVolumeFilling; file systems without a fixed number of inodes are left out`,
    summary: ({ value }) => `Volume ${volumeName} of Gitaly has ${value('percent')} of its inodes free`,
    description: () =>
      'Without inodes no file can be created, although space is available: every push fails. Run housekeeping on repositories with many loose objects, or recreate the file system with more inodes.',
  });
}

/** Two rules, by whose metrics are missing: together they are too long to read. */
function volumeMetricsMissing(thresholds: AlertThresholds, volumes: RepositoryVolumes): readonly Alert[] {
  const { missingSeriesLookback, volumeMetricsMissing: missingFor } = thresholds;
  const vanished = <By extends string>(by: readonly By[], series: GaugeSelector<By>) =>
    unless(
      maxBy(by, maxOverTime(series, promDuration(missingSeriesLookback.value))),
      eachHighest(thresholds, series),
      { on: by },
    );
  const claims = relabelled(
    vanished(claimLabels, select(claimAvailableBytes, claimsOf(volumes))),
    'persistentvolumeclaim',
    'pod',
    'repo-data-(.+)',
  );
  const ready = equals(eachHighest(thresholds, select(podReady)), 1);
  const before = `which it did within ${lastInWords(missingSeriesLookback.value)}`;
  const rule = <Labels extends string>(
    expression: Vector<Labels>,
    of: string,
    what: string,
    where: string,
    // Without it, Prometheus takes two rules of one name for duplicates.
    labels: Readonly<Record<string, string>> = {},
  ): Alert =>
    alert({
      name: 'GitalyVolumeMetricsMissing',
      severity: 'warning',
      labels,
      expression,
      forSeconds: sustained(thresholds, missingFor.value),
      noProblem: withoutProblem.notRead,
      panel: { dashboard: capacityDashboard, title: 'Available space of the volumes' },
      firesWhen: `for ${durationInWords(missingFor.value)}, ${of} did not report ${what}, ${before}`,
      summary: () => `The space of volume ${volumeName} of Gitaly is unknown`,
      description: () =>
        `It is not reported by ${of} any more. GitalyVolumeFilling and GitalyInodesFilling cannot fire for it; those that fired before keep the last known value. Check ${where} in Prometheus.`,
    });
  return [
    rule(
      // The claim of a pod that was deleted is not missing.
      and(claims, ready, { on: podLabels }),
      'the kubelet',
      'the volume of a Gitaly pod that is Ready (claims named repo-data-<pod>)',
      'the target of the kubelet of its node',
    ),
    rule(
      vanished(mountLabels, select(filesystemAvailable, mountsOf(volumes))),
      'node_exporter',
      `a file system that is mounted at ${volumes.mountpoint} (alerts.volume-mountpoint)`,
      'its target',
      { reported_by: 'node_exporter' },
    ),
  ];
}
