/** Phrases that texts and conditions of several alerts use. */

/** 0.9 is `90%`, 0.001 is `0.1%`. */
export const percent = (ratio: number): string => `${Number((ratio * 100).toPrecision(6))}%`;

/** The Gitaly of an alert with the labels `pod` and `node`: the name of its pod, or of its virtual machine. */
export const serverName = '{{ or $labels.pod $labels.node }}';

/** `gitaly-1 of default`. */
export const storageName = '{{ $labels.storage }} of {{ $labels.virtual_storage }}';

/** Why no problem on the page stands for an alert. */
export const withoutProblem = {
  noPage: 'without a running exporter there is no page',
  notRead: 'its metrics are from Gitaly, the kubelet or node_exporter, and only Prometheus has them',
  overTime: 'it depends on minutes to days of history, which only Prometheus has',
  shownAsValue: 'the page shows the value, without a threshold',
} as const;
