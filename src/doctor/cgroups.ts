/** Whether this host's cgroups can be read, and what is found in them. */
import { accessSync, constants } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { readTextFileSync } from '../lib/files.ts';
import { fixText } from '../rules/finding.ts';
import { createFinder } from '../sources/cgroup/discovery/finder.ts';
import { inspectRoot } from '../sources/cgroup/discovery/root.ts';
import {
  type GitalyConfigs,
  type GitalyTree,
  knownLayout,
  type PodDirectory,
} from '../sources/cgroup/tree.ts';
import { identityText } from '../sources/identity.ts';
import { accessChecks, type DoctorFinding, notPassed, passed } from './finding.ts';

export interface CgroupReport {
  readonly findings: readonly DoctorFinding[];
  /** For right-sizing. */
  readonly trees: readonly GitalyTree[];
}

export interface CgroupsOptions {
  readonly root: string;
  readonly hostName: string;
  readonly directory: PodDirectory | undefined;
  /** Where Gitaly's configuration places its cgroups, and that it has some. */
  readonly configs?: GitalyConfigs | undefined;
  /** `/proc` */
  readonly proc: string;
  readonly clock: Clock;
}

/** Never rejects. */
export async function cgroupFindings(options: CgroupsOptions, signal: AbortSignal): Promise<CgroupReport> {
  const { root, hostName, directory, clock } = options;
  const inspected = inspectRoot(root);
  if (inspected.kind === 'failed')
    return { findings: [notPassed(accessChecks.cgroupRoot, 'fail', inspected.message, [mount])], trees: [] };

  const finder = createFinder({
    root,
    hostName,
    clock,
    configs: options.configs,
    ...(directory === undefined ? {} : { directory }),
  });
  const found = await finder.find(signal);
  const rootFinding = inspected.isTopmost
    ? passed(accessChecks.cgroupRoot, `${root} is the hierarchy of the host`)
    : notPassed(
        accessChecks.cgroupRoot,
        'warn',
        `${root} is only a container's part of the host's hierarchy`,
        [mount],
      );
  const readOnly = readOnlyFinding(options);
  if (found.kind === 'failed')
    return {
      findings: [
        rootFinding,
        readOnly,
        notPassed(accessChecks.cgroupGitalys, 'fail', found.message, [mount]),
      ],
      trees: [],
    };
  const known = directory?.pods();
  const isIdle =
    found.trees.length === 0 &&
    found.failures.length === 0 &&
    known?.pods.length === 0 &&
    known.failure === undefined;
  const trees = isIdle
    ? [passed(accessChecks.cgroupGitalys, 'no Gitaly pod is on this node, according to the list of pods')]
    : treeFindings(found.trees, found.missing, found.failures);
  const notes = found.notes.map((note) => passed(accessChecks.cgroupGitalys, note));
  return {
    findings: [rootFinding, readOnly, ...trees, ...notes],
    trees: found.trees.filter(({ vacancy }) => vacancy === undefined),
  };
}

const mount = fixText(
  "Mount the host's /sys/fs/cgroup read-only into the container, as deploy/kubernetes/base/agent.yaml does, and set cgroup.root to that path; on a virtual machine it is /sys/fs/cgroup.",
);

function treeFindings(
  trees: readonly GitalyTree[],
  missing: readonly string[],
  failures: readonly { readonly message: string }[],
): readonly DoctorFinding[] {
  const check = accessChecks.cgroupGitalys;
  const open = [
    ...failures.map(({ message }) => notPassed(check, 'fail', message, [])),
    ...missing.map((line) => notPassed(check, trees.length === 0 ? 'fail' : 'warn', line, [])),
  ];
  if (trees.length === 0)
    return open.length > 0 ? open : [notPassed(check, 'fail', 'no cgroups of Gitaly found', [runsHere])];
  // The failures of the other trees are listed already.
  const used = trees.filter((tree) => tree.vacancy === undefined && knownLayout(tree) !== undefined);
  return [...used.map((tree) => passed(check, treeText(tree), identityText(tree.identity))), ...open];
}

const runsHere = fixText('Run the exporter on the host on which Gitaly runs.');

function treeText({ layout, git }: GitalyTree): string {
  if (git === undefined)
    return "Git runs in the container's own cgroup: cgroups are disabled in Gitaly's configuration";
  const place =
    layout === 'nested'
      ? " inside the container's cgroup"
      : layout === 'sibling'
        ? " next to the container's cgroup"
        : '';
  return `gitaly-${git.pid}${place} with ${git.buckets.length} buckets`;
}

/** By the user's effective access, not by mount options: only a read-only mount keeps root from writing. */
function readOnlyFinding({ root, proc }: CgroupsOptions): DoctorFinding {
  const check = accessChecks.cgroupReadOnly;
  const writable = [root, ...mountsBelow(root, proc)].filter((path) =>
    ['cgroup.procs', 'cgroup.subtree_control'].some((file) => canWrite(`${path}/${file}`)),
  );
  if (writable.length === 0) return passed(check, root);
  return notPassed(check, 'warn', `this user can write to ${writable.join(', ')}`, [
    fixText('Mount it read-only (readOnly: true on the volumeMount), and do not run the exporter as root.'),
  ]);
}

/** A mount below a read-only one has options of its own. */
function mountsBelow(root: string, proc: string): readonly string[] {
  try {
    return readTextFileSync(`${proc}/self/mountinfo`)
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((point) => point.startsWith(`${root}/`));
  } catch {
    return [];
  }
}

function canWrite(file: string): boolean {
  try {
    accessSync(file, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
