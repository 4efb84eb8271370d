/** Verdicts of the checks of cgroups: pure functions of what the sources read. */
import type { GitalyConfig } from '../../../config/gitaly/gitaly-config.ts';
import { bytesText, durationText } from '../../../lib/format.ts';
import { isUnknown, type Known, notApplicable } from '../../../lib/known.ts';
import type { CgroupFacts, MemoryMax } from '../../../sources/cgroup/facts.ts';
import type { Layout } from '../../../sources/cgroup/tree.ts';
import { mainContainer } from '../../../sources/kubernetes/gitaly-objects.ts';
import type { Container, Pod } from '../../../sources/kubernetes/objects/types.ts';
import { allOf, type CheckVerdict, fail, judge, pass, passIf, undecided } from '../check.ts';
import { isVersionAtLeast, type Version, version, versionText } from '../version.ts';

/** cgroups.memory_bytes; before it, each repository's cgroup had a limit, and all of them together none. */
const firstGitMemoryLimit = version('15.0');

/** runAsUser of the chart: user git. */
const gitUid = 1000;

/** The kubelet gives each pod with a user namespace a range of this many user IDs, or of a multiple. */
const userNamespaceSize = 65536;

/** The kernel's overflowuid: the owner, seen from a user namespace to which it is not mapped. */
const unmappedUid = 65534;

/** Git's pack.deltaCacheSize alone is 256 MiB by default: below that, a clone of any size is OOM-killed. */
export const minimumGitMemory = 256 * 2 ** 20;

/** More than any server has: a value in another unit, or the kernel's largest number for no limit. */
const maximumGitMemory = 2 ** 44;

/** A Gitaly that serves calls has run Git by then. */
const unusedAfterMs = 3_600_000;

export const isNested = (cgroup: Known<CgroupFacts>): boolean =>
  !isUnknown(cgroup) && cgroup.value.layout === 'nested';

export const insideContainer = notApplicable(
  "Gitaly's cgroups are inside its container's, which it can write to (cgroup_writable of containerd)",
);

export function initCgroupsRan({ state, lastTermination }: Container): CheckVerdict {
  if (state.kind === 'terminated') return passIf(state.exitCode === 0, `exit code ${state.exitCode}`);
  return lastTermination !== undefined && lastTermination.exitCode !== 0
    ? fail(`exit code ${lastTermination.exitCode}, and it is started again`)
    : undecided(`init-cgroups has not completed (${state.kind})`);
}

/** A container that can write its own cgroups needs no other one to delegate them. */
export function withoutInitCgroups(cgroup: Known<CgroupFacts>, config: Known<GitalyConfig>): CheckVerdict {
  const found = 'no init container init-cgroups';
  const layout = isUnknown(cgroup) ? undefined : cgroup.value.layout;
  if (layout === 'nested') return undecided(insideContainer);
  if (layout === 'sibling')
    return undecided(
      notApplicable("Gitaly has its cgroups without it: the pod's slice was delegated otherwise"),
    );
  return judge(config, ({ cgroups }) => {
    if (cgroups.repositories.count === 0) return fail(`${found}: cgroups are disabled in the chart`);
    if (layout === 'none') return fail(`${found}, and no gitaly-<pid> although cgroups are configured`);
    return undecided(
      'cgroups are configured without it, which works where the container can write its own (cgroup_writable of containerd): git_cgroups_enabled shows it, with an agent on the node',
      found,
    );
  });
}

export function ownedByGitaly(uid: number, pod: Pod, layout: Layout): CheckVerdict {
  const user = mainContainer(pod)?.runAsUser ?? pod.runAsUser ?? gitUid;
  if (uid === unmappedUid && user !== unmappedUid)
    return undecided(
      "the owner has no user ID in this exporter's user namespace: run the agent without one (hostUsers)",
      `uid ${uid}`,
    );
  const isMapped = pod.hostUsers === false || (layout === 'nested' && uid >= userNamespaceSize);
  if (!isMapped) return passIf(uid === user, `uid ${uid}`);
  if (uid < userNamespaceSize)
    return fail(`uid ${uid} of the host, which is no user in the pod's user namespace (hostUsers: false)`);
  const inPod = uid % userNamespaceSize;
  return passIf(inPod === user, `uid ${uid}, in the pod's user namespace ${inPod}`);
}

export function sensiblyConfigured(
  { memoryBytes, repositories }: GitalyConfig['cgroups'],
  gitlab: Version | undefined,
): CheckVerdict {
  const bucket = repositories.memoryBytes;
  if (repositories.count === 0) return fail('repositories.count is 0: disabled');
  if (bucket !== undefined && bucket < minimumGitMemory)
    return fail(
      `repositories.memory_bytes is ${bucket} bytes (${bytesText(bucket)}), less than one Git process may need`,
    );
  const buckets = `${repositories.count} buckets`;
  if (memoryBytes === undefined) {
    const hasNoSuchKey = gitlab !== undefined && !isVersionAtLeast(gitlab, firstGitMemoryLimit);
    return hasNoSuchKey && bucket !== undefined
      ? pass(
          `${buckets} of ${bytesText(bucket)} each; GitLab ${versionText(gitlab)} has no limit on them together`,
        )
      : fail(`${buckets}, memory_bytes not set`);
  }
  if (memoryBytes < minimumGitMemory)
    return fail(
      `memory_bytes is ${memoryBytes} bytes (${bytesText(memoryBytes)}) for all Git processes, less than one may need`,
    );
  const found = `${buckets}, memory_bytes ${bytesText(memoryBytes)}`;
  if (memoryBytes > maximumGitMemory) return fail(`${found}, which limits nothing on any server`);
  return bucket !== undefined && bucket > memoryBytes
    ? fail(`${found}, less than the ${bytesText(bucket)} of one bucket`)
    : pass(found);
}

/** @param ageMs since Gitaly's container started; undefined where that is unknown */
export function limitsGit(
  facts: CgroupFacts,
  nodeMemory: Known<number>,
  ageMs: number | undefined,
): CheckVerdict {
  if (facts.layout === 'none') return fail('no gitaly-<pid>: disabled');
  return judge(facts.repositoryCgroups, (count) => {
    if (count === 0) return fail('gitaly-<pid> exists, but has no repos-0');
    return judge(facts.gitMemoryMax, (max) => {
      const found = `${count} repos-N so far, memory.max of gitaly-<pid> is ${maxText(max)}`;
      if (max === 'max') return fail(found);
      if (max < minimumGitMemory) return fail(`${found}, less than one Git process may need`);
      return allOf(
        judge(facts.bucketMemoryMax, (bucket) =>
          bucket !== 'max' && bucket > max
            ? fail(`${found}, less than the ${bytesText(bucket)} of one bucket`)
            : pass(found),
        ),
        judge(nodeMemory, (memory) =>
          passIf(max < memory, `${found}, but the node has only ${bytesText(memory)}`),
        ),
        judge(facts.enclosingMemoryMax, ({ path, max: around }) =>
          around !== 'max' && around <= max
            ? fail(`${found}, but that of ${path} around it ${bytesText(around)}: Git's own limit never acts`)
            : pass(found),
        ),
        judge(facts.hasGitRun, (hasRun) => (hasRun ? pass(found) : unused(found, ageMs))),
      );
    });
  });
}

function unused(found: string, ageMs: number | undefined): CheckVerdict {
  const created = `${found}; created, but no process was ever in them`;
  return ageMs !== undefined && ageMs >= unusedAfterMs
    ? fail(`${created} in the ${durationText(ageMs)} since Gitaly started: Git runs outside of them`)
    : undecided('either no call needed Git yet, or Gitaly may not move Git into its cgroups', created);
}

/** Undefined on a virtual machine, while the container does not run, and for a start in the future. */
export function runningMs(pod: Pod | undefined, now: number): number | undefined {
  const state = pod && mainContainer(pod)?.state;
  if (state?.kind !== 'running' || state.startedAt === undefined) return undefined;
  const ageMs = now - state.startedAt;
  return ageMs >= 0 ? ageMs : undefined;
}

/** The kernel rounds a limit down to whole pages, of at most 64 KiB. */
const largestPage = 65536;

export function asConfigured(
  what: string,
  max: MemoryMax,
  key: string,
  configured: number | undefined,
): CheckVerdict {
  const both = `${what} is ${maxText(max)}, ${key} ${configured === undefined ? 'not set' : bytesText(configured)}`;
  if (configured === undefined || max === 'max')
    return passIf(configured === undefined && max === 'max', both);
  return passIf(max <= configured && configured - max < largestPage, both);
}

export const maxText = (max: MemoryMax): string => (max === 'max' ? 'max' : bytesText(max));
