/** The steps of the scenario. Each ends when its processes have ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Exporter } from './exporter.ts';
import {
  anon,
  first,
  hog,
  host,
  MiB,
  make,
  makeGit,
  makePod,
  otherPod,
  remove,
  second,
  third,
  write,
} from './node-tree.ts';

export interface Step {
  readonly name: string;
  /** Set where the exact level is unknown, because the cgroup was removed: the acceptable levels. */
  readonly level?: string;
  run(exporter: Exporter): Promise<void>;
}

const bucket = (git: string, number: number): string => `${git}/repos-${number}`;
const sleeper = (cgroup: string) => hog(cgroup, ['sleep', '600']);

/**
 * More than the memory of the node: the kernel chooses a victim on the whole node, and the hog's oom_score_adj
 * is the highest.
 */
const all = (cgroup: string) => anon(cgroup, 4000, 0, 1000);

export const steps: readonly Step[] = [
  {
    name: "a bucket's own limit, three times",
    async run() {
      for (let each = 0; each < 3; each++) await anon(bucket(first.git, 3), 200).ended;
    },
  },
  {
    name: '300 MiB of page cache in a bucket of 100 MiB',
    async run() {
      await hog(bucket(first.git, 4), ['file', '/mnt/cache', '300', '1']).ended;
    },
  },
  {
    name: "the Git parent's limit: three buckets under their own",
    async run() {
      await Promise.all([0, 1, 2].map((each) => anon(bucket(first.git, each), 90, 3).ended));
    },
  },
  {
    name: "the pod's limit, victim in the container: a group of three",
    async run() {
      const idle = [sleeper(first.scope), sleeper(first.scope)];
      const held = [anon(bucket(first.git, 6), 80, 8), anon(bucket(first.git, 7), 80, 8)];
      await sleep(2000);
      await Promise.all([anon(first.scope, 200, 2), ...idle, ...held].map(({ ended }) => ended));
    },
  },
  {
    name: "the pod's limit, victim in a bucket",
    async run() {
      const held = [0, 1, 2].map(() => anon(first.scope, 60, 8));
      await sleep(3000);
      const hogs = [anon(bucket(first.git, 8), 95, 4), anon(bucket(first.git, 9), 95, 4)];
      await Promise.all([...held, ...hogs].map(({ ended }) => ended));
    },
  },
  {
    name: "the container's own limit: a group of two",
    async run() {
      write(`${first.scope}/memory.max`, 150 * MiB);
      const idle = sleeper(first.scope);
      await sleep(500);
      await Promise.all([anon(first.scope, 200).ended, idle.ended]);
      write(`${first.scope}/memory.max`, 300 * MiB);
    },
  },
  {
    name: 'the pause container: its own limit',
    async run() {
      write(`${first.pause}/memory.max`, 20 * MiB);
      await anon(first.pause, 40).ended;
    },
  },
  {
    name: "nested in the container's scope: a bucket's own limit",
    async run() {
      await anon(bucket(second.git, 3), 200).ended;
    },
  },
  {
    name: "nested in the container's scope: the container's limit, a group over two buckets and Gitaly",
    async run() {
      write(`${second.scope}/memory.max`, 200 * MiB);
      const idle = [sleeper(`${second.scope}/init`), anon(bucket(second.git, 2), 70, 20)];
      const helper = anon(`${second.scope}/init`, 60, 20);
      await sleep(2500);
      await Promise.all([anon(bucket(second.git, 3), 95, 20), helper, ...idle].map(({ ended }) => ended));
      write(`${second.scope}/memory.max`, 280 * MiB);
    },
  },
  {
    name: 'memory.oom.group on a bucket: a group of three',
    async run() {
      const path = bucket(first.git, 9);
      write(`${path}/memory.oom.group`, 1);
      const idle = [sleeper(path), sleeper(path)];
      await sleep(500);
      await Promise.all([anon(path, 200), ...idle].map(({ ended }) => ended));
      write(`${path}/memory.oom.group`, 0);
    },
  },
  {
    name: 'memory.max lowered below the usage',
    async run() {
      const path = bucket(first.git, 0);
      const held = anon(path, 90, 20);
      await sleep(2000);
      write(`${path}/memory.max`, 20 * MiB);
      await held.ended;
      write(`${path}/memory.max`, 100 * MiB);
    },
  },
  {
    name: 'a process that cannot be killed: hundreds of oom and no kill',
    async run() {
      const unkillable = anon(bucket(first.git, 1), 150, 0, -1000);
      await sleep(3000);
      unkillable.process.kill('SIGKILL');
      await unkillable.ended;
      await sleep(6000);
    },
  },
  {
    name: 'fifteen in a bucket, one after another',
    async run() {
      const path = bucket(first.git, 3);
      write(`${path}/memory.max`, 5 * MiB);
      for (let each = 0; each < 15; each++) await anon(path, 8).ended;
      write(`${path}/memory.max`, 100 * MiB);
    },
  },
  {
    name: 'four buckets of two Gitalys at the same time',
    async run() {
      const paths = [
        bucket(first.git, 1),
        bucket(first.git, 2),
        bucket(second.git, 4),
        bucket(second.git, 5),
      ];
      for (const path of paths) write(`${path}/memory.max`, 20 * MiB);
      await Promise.all(paths.map((path) => anon(path, 40).ended));
      for (const path of paths) write(`${path}/memory.max`, 100 * MiB);
    },
  },
  {
    name: "another workload's pod: not Gitaly's",
    async run() {
      await anon(otherPod.scope, 150).ended;
    },
  },
  {
    name: 'a bucket removed right after its kill, unseen, and re-created with another kill',
    async run(exporter) {
      const path = bucket(first.git, 3);
      await exporter.whileStopped(async () => {
        await anon(path, 200).ended;
        remove(path);
        make(path, 50);
        await anon(path, 100).ended;
      });
    },
  },
  {
    name: 'a bucket created at the moment of its kill',
    async run() {
      const path = bucket(first.git, 77);
      make(path, 10);
      await anon(path, 20).ended;
    },
  },
  {
    name: 'Gitaly restarts: a kill in the old gitaly-<pid>, which is removed unseen, and one in the new',
    level: 'bucket or git',
    async run(exporter) {
      const next = first.git.replace(/-1$/, '-7');
      await exporter.whileStopped(async () => {
        await anon(bucket(first.git, 5), 200).ended;
        makeGit(next);
        remove(first.git);
      });
      await sleep(1500);
      await anon(bucket(next, 5), 200).ended;
    },
  },
  {
    name: 'a new pod, and its first kill right after',
    async run() {
      makePod(third);
      makeGit(third.git);
      await anon(bucket(third.git, 1), 200).ended;
    },
  },
  {
    name: 'that pod deleted right after a kill, unseen',
    level: 'unattributed',
    async run(exporter) {
      await sleep(3000);
      await exporter.whileStopped(async () => {
        await anon(bucket(third.git, 2), 200).ended;
        remove(third.slice);
      });
    },
  },
  {
    name: "a virtual machine's Gitaly: a bucket's limit, then the parent's",
    async run() {
      await anon(bucket(host, 2), 200).ended;
      await sleep(1500);
      await Promise.all([0, 1, 3].map((each) => anon(bucket(host, each), 90, 3).ended));
    },
  },
  {
    name: 'the limit of all pods (kubepods.slice), which counts as the node',
    async run() {
      const kubepods = first.slice.slice(0, first.slice.lastIndexOf('/'));
      write(`${kubepods}/memory.max`, 60 * MiB);
      await anon(bucket(second.git, 6), 90, 5).ended;
      write(`${kubepods}/memory.max`, 1500 * MiB);
    },
  },
  {
    name: "the node's memory, victim in a bucket",
    async run() {
      const limits = [bucket(host, 0), host, `${host.slice(0, host.lastIndexOf('/'))}`];
      for (const path of limits) write(`${path}/memory.max`, 'max');
      await all(bucket(host, 0)).ended;
    },
  },
  {
    name: "the node's memory, victim in the container: its group of two",
    async run() {
      const kubepods = first.slice.slice(0, first.slice.lastIndexOf('/'));
      for (const path of [first.scope, first.slice, kubepods]) write(`${path}/memory.max`, 'max');
      const idle = sleeper(first.scope);
      await sleep(500);
      await Promise.all([all(first.scope).ended, idle.ended]);
    },
  },
];
