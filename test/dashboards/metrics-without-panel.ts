/** Metrics that are on no dashboard, each with the reason. */
export const metricsWithoutPanel: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/^nodejs_/, 'Internals of Node.js: public dashboards for Node.js show them under the same names.'],
  [
    /^process_(cpu_(user|system)_seconds_total|heap_bytes|max_fds|open_fds|start_time_seconds|virtual_memory_bytes)$/,
    'Resident memory and CPU usage are shown; dashboards for processes show the others under the same names.',
  ],
  [
    /^gitaly_server_(container|git|pod)_cpu_(system|user)_seconds_total$/,
    'Parts of the CPU usage that is shown: for the analysis of one incident.',
  ],
  [
    /^gitaly_server_(container|git|pod)_memory_events_total$/,
    'The kernel counts page-cache reclaim as well: OOM kills are shown from the attributed counters.',
  ],
  [
    /^gitaly_server_(container|git|pod)_memory_peak_bytes$/,
    'Highest usage since the cgroup was created, page cache included: right-sizing uses percentiles of the chosen time.',
  ],
  [
    /^gitaly_server_(container|pod)_memory_usage_bytes$/,
    'The sum of anonymous memory and page cache, which are shown.',
  ],
  [
    /^gitaly_server_(container|git)_memory_working_set_bytes$/,
    'Shown for the pod, whose request it is compared with.',
  ],
  [
    /^gitaly_server_restarts_total$/,
    'Of virtual machines only, where it is 0 for weeks: GitalyRestartLoop shows the loop.',
  ],
  [
    /^gitaly_server_bucket_memory_limit_bytes$/,
    'One value of the configuration, in a series for each bucket: the number of buckets close to it is shown.',
  ],
  [/^gitaly_server_responds$/, 'Read by an alert; whether the read succeeded is shown.'],
  [/^gitaly_server_container_cpu_limit_cores$/, 'Throttling at this limit is shown.'],
  [/^gitaly_server_pod_last_restart_timestamp_seconds$/, 'Restarts are shown from their counter.'],
  [/^gitaly_exporter_time_seconds$/, 'Its difference to the clock of Prometheus has an alert.'],
  [
    /^praefect_db_repositories_(below_replication_factor|single_copy)$/,
    'Read by alerts; the panel of repositories by healthy replicas shows every number of replicas.',
  ],
  [
    /^gitaly_server_statefulset_rolling_out$/,
    'Read by an alert; the pods with the current template are shown.',
  ],
  [/^gitaly_storage_info$/, 'A mapping by labels, which alerts join to name the storage of a Gitaly.'],
  [/^praefect_db_failovers_total$/, 'Failovers are annotated, and the primaries that moved are in a table.'],
  [/^gitaly_exporter_cgroup_watches$/, 'Limits of inotify show as failing collectors.'],
  [/^gitaly_exporter_collector_enabled$/, 'Configuration: a disabled collector has no other series.'],
  [/^gitaly_exporter_config_last_reload_timestamp_seconds$/, 'Whether the reload succeeded is shown.'],
  [/^gitaly_exporter_scrapes_in_flight$/, 'Rejected scrapes are shown.'],
];
