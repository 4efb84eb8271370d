/** Praefect: its database connection, the database's version, and the number of instances. */

import { isUnknown, type Known, known, mapKnown, unknown } from '../../../lib/known.ts';
import type { Container, Pod } from '../../../sources/kubernetes/objects/types.ts';
import {
  type Check,
  fail,
  judge,
  passIf,
  type SubjectVerdict,
  sources,
  undecided,
  type Verdict,
  wholeCluster,
} from '../check.ts';
import { scaleStatefulSet } from '../commands.ts';
import type { CheckInputs, PraefectFacts } from '../inputs.ts';
import { perWorkload } from '../subjects.ts';
import { imageVersion, isAtLeast, parseVersion, type Version, version, versionText } from '../version.ts';

/**
 * GitLab's major version -> its minimum PostgreSQL, by doc/install/requirements.md of each; 13 and 14 by the removals
 * of PostgreSQL 10 and 11 from the Linux package, 19 by the removal of 16.
 */
const minimumPostgresql: ReadonlyMap<number, Version> = new Map([
  [13, version('11')],
  [14, version('12')],
  [15, version('12.10')],
  [16, version('13.6')],
  [17, version('14')],
  [18, version('16')],
  [19, version('17')],
]);

const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];

export const praefectChecks: readonly Check[] = [
  {
    id: 'praefect_sslmode',
    title: "Praefect's connection to its database is encrypted",
    why: "The chart's default is sslmode disable: the password and every repository's path cross the network unencrypted.",
    expected: 'an sslmode other than disable, preferably verify-full',
    evidence: "Praefect's config.toml",
    source: sources.notInGuide,
    severity: 'warning',
    scope: 'cluster',
    readFrom: 'api',
    fix: {
      helm: `global:
  praefect:
    psql:
      sslMode: verify-full # with the server's CA; at least require`,
      text: "On a virtual machine: praefect['configuration'][:database][:sslmode] in gitlab.rb.",
    },
    run: (inputs) =>
      once(inputs, ({ sslMode }) =>
        judge(sslMode, (mode) => {
          if (mode === 'disable') return fail('sslmode disable');
          if (mode === '')
            return undecided("sslmode is not set: the default of Praefect's PostgreSQL library applies");
          if (!sslModes.includes(mode))
            return undecided(`sslmode ${JSON.stringify(mode)} is not one of libpq's modes`);
          const fallsBack = mode === 'allow' || mode === 'prefer';
          return passIf(
            true,
            `sslmode ${mode}${fallsBack ? ', which is unencrypted if the server has no TLS' : ''}`,
          );
        }),
      ),
  },
  {
    id: 'postgresql_version',
    title: "PostgreSQL is at or above GitLab's minimum version",
    why: 'GitLab tests no older version: an upgrade of Praefect may then fail during its migrations.',
    expected: `GitLab ${[...minimumPostgresql].map(([gitlab, least]) => `${gitlab}: ${least.minor === 0 ? least.major : versionText(least)}`).join(', ')}`,
    evidence: "the server's version, compared with the version of Praefect's image",
    source: `${sources.notInGuide}: GitLab, 'Installation requirements'`,
    severity: 'warning',
    scope: 'cluster',
    readFrom: 'api',
    fix: {
      text: 'Upgrade PostgreSQL before GitLab. Minor releases contain only fixes: use the latest.',
    },
    run: (inputs) =>
      once(inputs, (facts) =>
        judge(facts.postgresqlVersion, (server) =>
          judge(gitlabVersion(inputs, facts), (gitlab) => supported(server, gitlab)),
        ),
      ),
  },
  {
    id: 'three_praefects',
    title: 'At least three Praefects run',
    why: "A storage's health is decided by a majority of Praefects. Two of two are needed: with one down there is no failover.",
    expected: 'at least three replicas of Praefect',
    evidence: "the StatefulSet's replicas; on virtual machines the live Praefects according to the database",
    source: `${sources.notInGuide}: GitLab, 'Configure Gitaly Cluster (Praefect)'`,
    severity: 'warning',
    scope: 'workload',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  praefect:
    replicas: 3`,
      kubectl: scaleStatefulSet(3),
    },
    run: (inputs) =>
      hasNoPods(inputs.praefectPods)
        ? once(inputs, ({ instances }) => judge(instances, (count) => enough(count, 'alive')))
        : perWorkload(inputs, [inputs.praefectPods], ({ set }) =>
            judge(set, ({ replicas }) => enough(replicas, 'replicas')),
          ),
  },
];

const once = (inputs: CheckInputs, verdict: (facts: PraefectFacts) => Verdict): readonly SubjectVerdict[] => [
  { subject: wholeCluster, ...judge(inputs.praefect, verdict) },
];

const enough = (count: number, what: string): Verdict => passIf(count >= 3, `${count} ${what}`);

const hasNoPods = (pods: Known<readonly Pod[]>): boolean =>
  isUnknown(pods) ? pods.notApplicable === true : pods.value.length === 0;

/** By the pods' images; of several versions (a rollout) the newest, which all of them are about to run. */
function gitlabVersion({ praefectPods }: CheckInputs, facts: PraefectFacts): Known<Version> {
  if (isUnknown(praefectPods) && praefectPods.notApplicable !== true) return praefectPods;
  const [newest] = (isUnknown(praefectPods) ? [] : praefectPods.value)
    .flatMap(({ containers }) => imageVersion(praefectContainer(containers)?.image ?? '') ?? [])
    .sort((a, b) => (isAtLeast(a, b) ? -1 : 1));
  if (newest !== undefined) return known(newest);
  return mapKnown(facts.gitlabVersion, (text) => {
    const parsed = parseVersion(text);
    return parsed === undefined ? unknown(`${JSON.stringify(text)} is not a GitLab version`) : known(parsed);
  });
}

const praefectContainer = (containers: readonly Container[]): Container | undefined =>
  containers.find(({ name }) => name === 'praefect') ?? containers[0];

function supported(server: string, gitlab: Version): Verdict {
  const least = minimumPostgresql.get(gitlab.major);
  const found = parseVersion(server);
  if (found === undefined) return undecided(`no version in ${JSON.stringify(server.slice(0, 80))}`);
  const versions = `PostgreSQL ${server}, GitLab ${versionText(gitlab)}`;
  if (least === undefined)
    return undecided(`this build does not know the minimum version for GitLab ${gitlab.major}`, versions);
  return passIf(isAtLeast(found, least), versions);
}
