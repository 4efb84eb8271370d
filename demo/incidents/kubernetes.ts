/** Incidents of Kubernetes: pods are deleted, evicted, cannot start or cannot be scheduled; a drain is blocked. */
import { containerLevelMetrics } from '../../src/sources/cgroup/level-metrics.ts';
import { oomKills } from '../../src/sources/cgroup/metrics.ts';
import {
  disruptionHealthy,
  disruptionsAllowed,
  nodePressure,
  nodeUnschedulable,
  podLastRotation,
  podPhase,
  podReady,
  podRestarts,
  podRotation,
  podRotationStart,
  podRotations,
  podWaitingContainers,
  statefulSetReadyReplicas,
  statefulSetUpdatedReplicas,
} from '../../src/sources/kubernetes/metrics.ts';
import { storageHealthy } from '../../src/sources/praefect/queries/health.ts';
import { workerNames } from '../kubernetes/nodes.ts';
import { growMemory } from './gitaly.ts';
import type { Incident } from './incident.ts';

const mib = 2 ** 20;

const podDeleted: Incident = {
  name: 'pod-deleted',
  title: 'A pod is deleted and rotated',
  description:
    'An operator deletes the pod gitaly-2 (`kubectl delete pod`). Gitaly shuts down within 6 s, the StatefulSet creates a new pod, its volume is attached, and about 16 s after the deletion it is Ready again. Writes to its primaries fail until Praefect fails over after 10 s; replication jobs bring it up to date afterwards.',
  watch: [
    { metric: podReady, shows: '0 for gitaly-2 for about 16 s' },
    { metric: podRotationStart, shows: 'the start of the rotation, while it is ongoing' },
    { metric: podRotation, shows: 'afterwards, the duration of each phase and the total' },
    { metric: podRotations, shows: 'cause deleted rises by 1' },
    { metric: storageHealthy, shows: '0 for gitaly-2 for a few seconds' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'By itself, when the new pod is Ready and up to date.',
  needs: ['gitaly-2'],
  async run({ kubernetes, report, until }) {
    kubernetes.deletePod('gitaly-2');
    report('the pod gitaly-2 is deleted');
    await until(() => !kubernetes.isReady('gitaly-2'));
    await until(() => kubernetes.isReady('gitaly-2'));
    report('a new pod gitaly-2 is Ready');
  },
};

const imagePullFails: Incident = {
  name: 'image-pull-fails',
  title: 'A rollout is stuck on an image that does not exist',
  description:
    'An upgrade changes the image of the StatefulSet to a tag with a typo. The rolling update replaces gitaly-3 first; its new pod stays in ImagePullBackOff, and the update stops there. Two of three Gitalys keep serving, but every repository has one replica less, and a drain would now be blocked by the disruption budget.',
  watch: [
    { metric: podWaitingContainers, shows: '1 for gitaly-3 with reason ImagePullBackOff or ErrImagePull' },
    { metric: podPhase, shows: 'Pending for gitaly-3' },
    { metric: statefulSetUpdatedReplicas, shows: '1 of 3, without progress' },
    { metric: statefulSetReadyReplicas, shows: '2' },
    { metric: disruptionsAllowed, shows: '0' },
  ],
  alerts: ['GitalyDown', 'PraefectFailover'],
  ends: 'The operator rolls back the template and deletes the stuck pod, which the StatefulSet does not do by itself.',
  needs: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
  async run({ kubernetes, report, until, untilEnded }) {
    kubernetes.updateTemplate({ image: 'registry.example/gitaly:v19.0.2-rc' });
    report('the image of the StatefulSet is changed to v19.0.2-rc, which does not exist');
    await until(() => !kubernetes.isReady('gitaly-3'));
    report('gitaly-3 is replaced, and its image cannot be pulled');
    await untilEnded();
    kubernetes.undoTemplate();
    kubernetes.deletePod('gitaly-3');
    report('the template is rolled back, and the stuck pod is deleted');
  },
};

const nodeDrained: Incident = {
  name: 'node-drained',
  title: 'A node is drained',
  description:
    'An operator drains the node of gitaly-1 for maintenance (`kubectl drain`). The node is cordoned, and its pod is evicted through the API, which the disruption budget allows. The volume has to move to another node, where the new pod is Ready after about 22 s; Praefect fails over in between.',
  watch: [
    { metric: nodeUnschedulable, shows: '1 for the drained node while Gitaly runs there' },
    { metric: podReady, shows: '0 for gitaly-1 for about 22 s' },
    { metric: disruptionsAllowed, shows: '0 while gitaly-1 is not Ready, else 1' },
    { metric: podRotations, shows: 'cause node_drained rises by 1, on the node that the pod left' },
    { metric: podLastRotation, shows: 'the end of the rotation' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'The node is uncordoned when you end it. The pod stays on its new node.',
  needs: ['gitaly-1'],
  async run({ kubernetes, report, until, untilEnded }) {
    const drained = kubernetes.nodeOf('gitaly-1') ?? workerNames[0] ?? '';
    try {
      kubernetes.setCordoned(drained, true);
      report(`${drained} is cordoned, and gitaly-1 is evicted`);
      await until(() => kubernetes.evictPod('gitaly-1'));
      await until(() => kubernetes.isReady('gitaly-1'));
      report(`gitaly-1 is Ready on ${kubernetes.nodeOf('gitaly-1') ?? 'another node'}`);
      await untilEnded();
    } finally {
      kubernetes.setCordoned(drained, false);
    }
    report(`${drained} is uncordoned`);
  },
};

const podEvicted: Incident = {
  name: 'pod-evicted',
  title: 'The kubelet evicts a pod under memory pressure',
  description:
    'Other pods use up the memory of the node of gitaly-3. The kubelet reports MemoryPressure and evicts gitaly-3: its processes end without a graceful shutdown, and the disruption budget is not consulted. The StatefulSet replaces the pod on another node.',
  watch: [
    { metric: nodePressure, shows: 'memory turns 1 for the node while Gitaly runs there' },
    { metric: podPhase, shows: 'Failed for a moment, then Pending' },
    { metric: podRotations, shows: 'cause eviction_pressure rises by 1' },
    { metric: disruptionsAllowed, shows: '0 until gitaly-3 is Ready again' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'The memory pressure ends. The pod stays on its new node.',
  needs: ['gitaly-3'],
  async run({ kubernetes, report, sleep, until, untilEnded }) {
    const pressed = kubernetes.nodeOf('gitaly-3') ?? workerNames[2] ?? '';
    try {
      kubernetes.setMemoryPressure(pressed, true);
      report(`${pressed} is under memory pressure`);
      await sleep(5000);
      kubernetes.evictForMemory('gitaly-3');
      report(`the kubelet of ${pressed} evicts gitaly-3`);
      await until(() => kubernetes.isReady('gitaly-3'));
      report(`gitaly-3 is Ready on ${kubernetes.nodeOf('gitaly-3') ?? 'another node'}`);
      await untilEnded();
    } finally {
      kubernetes.setMemoryPressure(pressed, false);
    }
    report(`${pressed} has free memory again`);
  },
};

/** The kubelet doubles the back-off from 10 s; here it is limited, so that kills keep coming. */
const backOffMs = [4000, 10_000, 20_000, 40_000] as const;

const crashLoop: Incident = {
  name: 'crash-loop',
  title: 'A container is OOM-killed in a crash loop',
  description:
    "After an upgrade Gitaly itself needs more memory than its container's limit of 8 GiB on gitaly-2: soon after each start the kernel kills the container. The kubelet restarts it with a growing back-off (CrashLoopBackOff), so it is down for longer each time, and Praefect moves its primaries away.",
  watch: [
    { metric: containerLevelMetrics.memoryUsage, shows: 'rises to the limit of 8 GiB for gitaly-2' },
    { metric: oomKills, shows: 'level container of gitaly-2 rises with each kill' },
    { metric: podRestarts, shows: 'reason OOMKilled rises by 1 with each restart' },
    { metric: podWaitingContainers, shows: '1 with reason CrashLoopBackOff between the restarts' },
    { metric: podReady, shows: '0 most of the time' },
  ],
  alerts: ['GitalyOOMKilled', 'PraefectFailover'],
  ends: 'The limit is raised; the container starts and stays up. The restarts stay counted.',
  needs: ['gitaly-2'],
  async run(scene) {
    const { kubernetes, node, report, signal, sleep, until } = scene;
    try {
      for (let kills = 0; !signal.aborted; kills += 1) {
        report('memory of Gitaly on gitaly-2 rises');
        const growing = [{ cgroup: node.pod('gitaly-2').gitaly(), to: 16_384 * mib }];
        const isKilled = await growMemory(scene, growing, 14_000);
        if (!isKilled || signal.aborted) break;
        kubernetes.containerOomKilled('gitaly-2');
        const backOff = backOffMs[Math.min(kills, backOffMs.length - 1)] ?? 0;
        report(`the container of gitaly-2 was OOM-killed; it is restarted in ${backOff / 1000} s`);
        await sleep(backOff);
        kubernetes.restartContainer('gitaly-2');
        await until(() => kubernetes.isReady('gitaly-2'));
      }
    } finally {
      kubernetes.restartContainer('gitaly-2');
    }
    report('gitaly-2 has enough memory');
  },
};

const drainBlocked: Incident = {
  name: 'drain-blocked',
  title: 'A disruption budget blocks a drain',
  description:
    'Gitaly on gitaly-3 hangs, so its pod is not Ready. An operator drains the node of gitaly-2 at the same time. The disruption budget allows only one pod to be unavailable, so the API rejects the eviction (HTTP 429), and `kubectl drain` retries every 5 s. Without the budget, repositories would be left with one replica. The blocked drain is correct; the Gitaly that is not Ready is the problem.',
  watch: [
    { metric: disruptionsAllowed, shows: '0 while gitaly-3 is not Ready' },
    { metric: disruptionHealthy, shows: '2 of 3' },
    { metric: nodeUnschedulable, shows: '1 for the node that cannot be drained' },
    { metric: podReady, shows: '0 for gitaly-3; 1 for gitaly-2, which is not evicted' },
  ],
  alerts: ['GitalyDown', 'PraefectFailover'],
  ends: 'gitaly-3 responds again, the operator cancels the drain, and the node is uncordoned.',
  needs: ['gitaly-2', 'gitaly-3'],
  async run({ cluster, kubernetes, report, sleep, signal, until }) {
    const hanging = cluster.world.gitaly('gitaly-3');
    const node = kubernetes.nodeOf('gitaly-2') ?? workerNames[1] ?? '';
    hanging.process = 'stopped';
    report('gitaly-3 hangs and is not Ready');
    try {
      await until(() => !kubernetes.isReady('gitaly-3'));
      if (!signal.aborted) {
        kubernetes.setCordoned(node, true);
        report(`${node} is cordoned; the eviction of gitaly-2 is rejected by the disruption budget`);
      }
      while (!signal.aborted && !kubernetes.evictPod('gitaly-2')) await sleep(5000);
    } finally {
      hanging.process = 'running';
      kubernetes.setCordoned(node, false);
    }
    report(`gitaly-3 responds again, and ${node} is uncordoned`);
  },
};

const podPending: Incident = {
  name: 'pod-pending',
  title: 'A replaced pod cannot be scheduled',
  description:
    'gitaly-1 is restarted while other workloads have taken the free memory of all nodes. Its new pod requests 8 GiB, stays Pending, and the scheduler reports "Insufficient memory" for every node. The storage stays down until memory is free, however healthy the rest of the cluster is.',
  watch: [
    { metric: podPhase, shows: 'Pending for gitaly-1, without a node' },
    { metric: podReady, shows: '0 for gitaly-1' },
    { metric: podRotationStart, shows: 'the start of the rotation that does not end' },
    { metric: podRotation, shows: 'afterwards, a long phase scheduling' },
    { metric: storageHealthy, shows: '0 for gitaly-1 after about 10 s' },
  ],
  alerts: ['GitalyDown', 'GitalyRotationSlow', 'PraefectFailover'],
  ends: 'Memory on the nodes is free again; the pod is scheduled within 5 s and Ready soon after.',
  needs: ['gitaly-1'],
  async run({ kubernetes, report, until, untilEnded }) {
    try {
      for (const name of workerNames) kubernetes.fullNodes.add(name);
      kubernetes.deletePod('gitaly-1');
      report('gitaly-1 is restarted while all nodes are full');
      await until(() => kubernetes.nodeOf('gitaly-1') === undefined);
      report('the new pod gitaly-1 cannot be scheduled: insufficient memory');
      await untilEnded();
    } finally {
      kubernetes.fullNodes.clear();
    }
    report('the nodes have free memory again');
  },
};

export const kubernetesIncidents: readonly Incident[] = [
  podDeleted,
  imagePullFails,
  nodeDrained,
  podEvicted,
  crashLoop,
  drainBlocked,
  podPending,
];
