/** The labels that identify what an alert or a panel is about. */

/**
 * One cluster. Aggregation keeps these labels and drops `job` and `instance`, so that two exporters for one cluster
 * count once. `cluster` is an external or relabeled label, and empty where there is only one cluster per namespace.
 */
export const clusterLabels = ['cluster', 'namespace'] as const;

/** One virtual storage of a cluster. */
export const virtualStorageLabels = [...clusterLabels, 'virtual_storage'] as const;

/** One Gitaly storage of a virtual storage. */
export const storageLabels = [...virtualStorageLabels, 'storage'] as const;
