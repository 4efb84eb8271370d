/** This host's cgroups as the exporter would read them. */
import { accessSync, constants, readFileSync } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { createFinder } from '../sources/cgroup/discovery/finder.ts';
import { inspectRoot } from '../sources/cgroup/discovery/root.ts';
import type { GitalyTree, PodDirectory } from '../sources/cgroup/tree.ts';
import { identityText } from '../sources/identity.ts';
import { accessChecks, type Finding, finds, passes, todo } from './finding.ts';

export interface CgroupLook {
  readonly findings: readonly Finding[];
  /** What was found, for the checks that rest on it. */
  readonly trees: readonly GitalyTree[];
}

export interface CgroupsOptions {
  readonly root: string;
  readonly hostName: string;
  readonly directory: PodDirectory | undefined;
  /** `/proc` */
  readonly proc: string;
  readonly clock: Clock;
}

/** Never rejects. */
export async function cgroupFindings(options: CgroupsOptions, signal: AbortSignal): Promise<CgroupLook> {
  const { root, hostName, directory, clock } = options;
  const inspected = inspectRoot(root);
  if (inspected.kind === 'failed')
    return { findings: [finds(accessChecks.cgroupRoot, 'fail', inspected.message, [mount])], trees: [] };

  const finder = createFinder({
    root,
    hostName,
    clock,
    ...(directory === undefined ? {} : { directory }),
  });
  const found = await finder.find(signal);
  const rootFinding = inspected.isTopmost
    ? passes(accessChecks.cgroupRoot, `${root} is the whole host's`)
    : finds(
        accessChecks.cgroupRoot,
        'warn',
        `${root} is a part of the host's tree: a container's own view of it`,
        [mount],
      );
  const readOnly = readOnlyFinding(options);
  if (found.kind === 'failed')
    return {
      findings: [rootFinding, readOnly, finds(accessChecks.cgroupTrees, 'fail', found.message, [mount])],
      trees: [],
    };
  const known = directory?.pods();
  const isIdle = found.trees.length === 0 && known?.pods.length === 0 && known.failure === undefined;
  const trees = isIdle
    ? [passes(accessChecks.cgroupTrees, 'no Gitaly is on this node, by the list of pods')]
    : treeFindings(found.trees, found.missing, found.failures);
  return { findings: [rootFinding, readOnly, ...trees], trees: found.trees };
}

const mount = todo(
  "Mount the host's /sys/fs/cgroup read-only into the container, as deploy/kubernetes/agent.yaml does, and set cgroup.root to that place; on a virtual machine it is /sys/fs/cgroup.",
);

function treeFindings(
  trees: readonly GitalyTree[],
  missing: readonly string[],
  failures: readonly { readonly message: string }[],
): readonly Finding[] {
  const check = accessChecks.cgroupTrees;
  const told = [
    ...failures.map(({ message }) => finds(check, 'fail', message, [])),
    ...missing.map((line) => finds(check, trees.length === 0 ? 'fail' : 'warn', line, [])),
  ];
  if (trees.length === 0)
    return told.length > 0 ? told : [finds(check, 'fail', "no cgroups of Gitaly's were found", [runsHere])];
  return [...trees.map((tree) => passes(check, treeText(tree), identityText(tree.identity))), ...told];
}

const runsHere = todo('Run the exporter on the host on which Gitaly runs.');

function treeText({ layout, git }: GitalyTree): string {
  if (git === undefined) return "Git runs in the container's own cgroup: Gitaly's cgroups are off";
  const place =
    layout === 'nested' ? "inside the container's" : layout === 'sibling' ? "beside the container's" : '';
  return `gitaly-${git.pid} ${place} with ${git.buckets.length} buckets`.replace('  ', ' ');
}

/** By what this user could do, not by the mount's options: root is stopped by a read-only mount alone. */
function readOnlyFinding({ root, proc }: CgroupsOptions): Finding {
  const check = accessChecks.cgroupReadOnly;
  const writable = [root, ...mountsBelow(root, proc)].filter((path) =>
    ['cgroup.procs', 'cgroup.subtree_control'].some((file) => mayWrite(`${path}/${file}`)),
  );
  if (writable.length === 0) return passes(check, root);
  return finds(check, 'warn', `this user could write to ${writable.join(', ')}`, [
    todo('Mount it read-only (readOnly: true on the volumeMount), and do not run the exporter as root.'),
  ]);
}

/** A mount inside of a read-only one has options of its own. */
function mountsBelow(root: string, proc: string): readonly string[] {
  try {
    return readFileSync(`${proc}/self/mountinfo`, 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((point) => point.startsWith(`${root}/`));
  } catch {
    return [];
  }
}

function mayWrite(file: string): boolean {
  try {
    accessSync(file, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
