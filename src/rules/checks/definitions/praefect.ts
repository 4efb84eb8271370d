/** Praefect: its way to the database, the database itself, and how many there are. */

import { isUnknown, type Known, known, mapKnown, unknown } from '../../../lib/known.ts';
import type { Container, Pod } from '../../../sources/kubernetes/objects/types.ts';
import {
  type Check,
  cannotTell,
  fail,
  type Judged,
  judge,
  passIf,
  type Verdict,
  wholeCluster,
} from '../check.ts';
import { scale } from '../fix-commands.ts';
import type { CheckInputs, PraefectFacts } from '../inputs.ts';
import { perWorkload } from '../subjects.ts';
import { imageVersion, isAtLeast, parseVersion, type Version, version, versionText } from '../version.ts';
import { beyond } from './sources.ts';

/**
 * GitLab's major version -> the least PostgreSQL, by doc/install/requirements.md of each; 13 and 14 by the removals
 * of PostgreSQL 10 and 11 from the Linux package, 19 by the removal of 16.
 */
const leastPostgresql: ReadonlyMap<number, Version> = new Map([
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
    why: "The chart's default is sslmode disable: the password and every repository's path cross the network as they are.",
    expected: 'an sslmode other than disable; best verify-full',
    evidence: "Praefect's config.toml",
    source: beyond,
    severity: 'warning',
    about: 'cluster',
    rests: 'api',
    mend: {
      helm: `global:
  praefect:
    psql:
      sslMode: verify-full # with the server's CA; require at the least`,
      other: "On a virtual machine: praefect['configuration'][:database][:sslmode] in gitlab.rb.",
    },
    run: (inputs) =>
      once(inputs, ({ sslMode }) =>
        judge(sslMode, (mode) => {
          if (mode === 'disable') return fail('sslmode disable');
          if (mode === '')
            return cannotTell("the configuration sets none: it is for Praefect's library to choose");
          if (!sslModes.includes(mode))
            return cannotTell(`sslmode ${JSON.stringify(mode)} is none of libpq's`);
          const may =
            mode === 'allow' || mode === 'prefer'
              ? ', which goes on unencrypted if the server has no TLS'
              : '';
          return passIf(true, `sslmode ${mode}${may}`);
        }),
      ),
  },
  {
    id: 'postgresql_version',
    title: "PostgreSQL is at or above GitLab's minimum",
    why: 'GitLab tests no older one: an upgrade of Praefect may then fail in the middle of its migrations.',
    expected: `GitLab ${[...leastPostgresql].map(([gitlab, least]) => `${gitlab}: ${least.minor === 0 ? least.major : versionText(least)}`).join(', ')}`,
    evidence: "the server's version, against the version of Praefect's image",
    source: `${beyond}: GitLab, 'Installation requirements'`,
    severity: 'warning',
    about: 'cluster',
    rests: 'api',
    mend: { other: 'Upgrade PostgreSQL before GitLab. Minor releases only mend: take the newest.' },
    run: (inputs) =>
      once(inputs, (facts) =>
        judge(facts.postgresqlVersion, (server) =>
          judge(gitlabVersion(inputs, facts), (gitlab) => judgePostgresql(server, gitlab)),
        ),
      ),
  },
  {
    id: 'three_praefects',
    title: 'There are three Praefects or more',
    why: 'Storages are judged by a majority of Praefects. Of two, both are needed: with one down no failover happens.',
    expected: 'three or more replicas of Praefect',
    evidence: "the StatefulSet's replicas; on virtual machines those that are alive by the database",
    source: `${beyond}: GitLab, 'Configure Gitaly Cluster (Praefect)'`,
    severity: 'warning',
    about: 'workload',
    rests: 'api',
    mend: {
      helm: `gitlab:
  praefect:
    replicas: 3`,
      kubectl: scale(3),
    },
    run: (inputs) =>
      noPods(inputs.praefectPods)
        ? once(inputs, ({ instances }) => judge(instances, (count) => enough(count, 'alive')))
        : perWorkload(inputs, [inputs.praefectPods], ({ set }) =>
            judge(set, ({ replicas }) => enough(replicas, 'replicas')),
          ),
  },
];

const once = (inputs: CheckInputs, verdict: (facts: PraefectFacts) => Verdict): readonly Judged[] => [
  { subject: wholeCluster, ...judge(inputs.praefect, verdict) },
];

const enough = (count: number, what: string): Verdict => passIf(count >= 3, `${count} ${what}`);

const noPods = (pods: Known<readonly Pod[]>): boolean =>
  isUnknown(pods) ? pods.notApplicable === true : pods.value.length === 0;

/** By the pods' images: of several versions (a roll-out) the newest, since that is where the way leads. */
function gitlabVersion({ praefectPods }: CheckInputs, facts: PraefectFacts): Known<Version> {
  if (isUnknown(praefectPods) && praefectPods.notApplicable !== true) return praefectPods;
  const [newest] = (isUnknown(praefectPods) ? [] : praefectPods.value)
    .flatMap(({ containers }) => imageVersion(praefectContainer(containers)?.image ?? '') ?? [])
    .sort((a, b) => (isAtLeast(a, b) ? -1 : 1));
  if (newest !== undefined) return known(newest);
  return mapKnown(facts.gitlabVersion, (text) => {
    const parsed = parseVersion(text);
    return parsed === undefined ? unknown(`${JSON.stringify(text)} is no version of GitLab`) : known(parsed);
  });
}

const praefectContainer = (containers: readonly Container[]): Container | undefined =>
  containers.find(({ name }) => name === 'praefect') ?? containers[0];

function judgePostgresql(server: string, gitlab: Version): Verdict {
  const least = leastPostgresql.get(gitlab.major);
  const found = parseVersion(server);
  if (found === undefined)
    return cannotTell(`no version can be read from ${JSON.stringify(server.slice(0, 80))}`);
  const said = `PostgreSQL ${server}, GitLab ${versionText(gitlab)}`;
  if (least === undefined)
    return cannotTell(`this build does not know what GitLab ${gitlab.major} asks for`, said);
  return passIf(isAtLeast(found, least), said);
}
