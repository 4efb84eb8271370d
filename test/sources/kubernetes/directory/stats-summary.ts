/**
 * What a kubelet answers at /stats/summary, written by hand in the form of k8s.io/kubelet/pkg/apis/stats/v1alpha1
 * (types.go), since no kubelet runs where these tests do: what it has beside volumes is there to be passed over.
 */
export const statsSummary = {
  node: {
    nodeName: 'lab-node-4',
    startTime: '2026-11-23T00:25:00Z',
    memory: { time: '2026-11-23T00:40:00Z', availableBytes: 8_000_000_000, usageBytes: 4_000_000_000 },
    fs: {
      capacityBytes: 100_000_000_000,
      availableBytes: 60_000_000_000,
      inodes: 6_553_600,
      inodesFree: 6_000_000,
    },
    runtime: { imageFs: { capacityBytes: 100_000_000_000, availableBytes: 60_000_000_000 } },
  },
  pods: [
    {
      podRef: { name: 'gl-gitaly-default-0', namespace: 'gitlab', uid: 'aaaa' },
      startTime: '2026-11-23T00:35:07Z',
      containers: [{ name: 'gitaly', memory: { workingSetBytes: 500_000_000 }, rootfs: { usedBytes: 4096 } }],
      volume: [
        {
          time: '2026-11-23T00:40:00Z',
          name: 'gitaly-secrets',
          availableBytes: 100_000,
          capacityBytes: 100_000,
          usedBytes: 0,
          inodes: 1000,
          inodesFree: 990,
          inodesUsed: 10,
        },
        {
          time: '2026-11-23T00:40:00Z',
          name: 'repo-data',
          pvcRef: { name: 'repo-data-gl-gitaly-default-0', namespace: 'gitlab' },
          availableBytes: 32_212_254_720,
          capacityBytes: 53_687_091_200,
          usedBytes: 21_474_836_480,
          inodes: 3_276_800,
          inodesFree: 3_000_000,
          inodesUsed: 276_800,
          volumeHealthStats: { abnormal: false },
        },
      ],
      'ephemeral-storage': { usedBytes: 4096 },
    },
    {
      podRef: { name: 'gl-praefect-0', namespace: 'gitlab', uid: 'bbbb' },
      containers: [],
    },
    {
      podRef: { name: 'other', namespace: 'elsewhere', uid: 'cccc' },
      volume: [
        {
          name: 'data',
          pvcRef: { name: 'repo-data-gl-gitaly-default-0', namespace: 'elsewhere' },
          availableBytes: 1,
          capacityBytes: 2,
          inodes: 0,
          inodesFree: 0,
        },
      ],
    },
  ],
};
