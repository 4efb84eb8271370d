/** Praefect: its database connection, the database's version, and the number of instances. */

import { isLocalDatabase } from '../../../config/database-connection.ts';
import { isUnknown, type Known, known, type Unknown, unknown, whole } from '../../../lib/known.ts';
import { mainContainer } from '../../../sources/kubernetes/gitaly-objects.ts';
import type { Pod } from '../../../sources/kubernetes/objects/types.ts';
import {
  allOf,
  type Check,
  type CheckVerdict,
  fail,
  judge,
  pass,
  passIf,
  type SubjectCheck,
  sources,
  undecided,
  wholeCluster,
} from '../check.ts';
import { scaleStatefulSet } from '../commands.ts';
import type { CheckInputs, PraefectConnection, PraefectFacts, SchemaReleases } from '../inputs.ts';
import { perWorkload } from '../subjects.ts';
import {
  imageVersion,
  isVersionAtLeast,
  parseVersion,
  type Version,
  version,
  versionText,
} from '../version.ts';

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

const encryptedModes = ['require', 'verify-ca', 'verify-full'];

const ofPraefect = (verdict: (facts: PraefectFacts, inputs: CheckInputs) => CheckVerdict): SubjectCheck => ({
  scope: 'cluster',
  run: (inputs) => [{ subject: wholeCluster, ...judge(inputs.praefect, (facts) => verdict(facts, inputs)) }],
});

const praefectsAlive = ofPraefect(({ instances }) => judge(instances, (count) => enough(count, 'alive')));

export const praefectChecks: readonly Check[] = [
  {
    id: 'praefect_sslmode',
    title: "Praefect's connection to its database is encrypted",
    why: "The chart's default is sslmode disable: the password and every repository's path cross the network unencrypted.",
    expected:
      'sslmode require, verify-ca or preferably verify-full in every configuration of Praefect, unless its database is on the same host',
    evidence: 'every config.toml of Praefect: the file, and the ConfigMaps of its pods',
    source: sources.notInGuide,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `global:
  praefect:
    psql:
      sslMode: verify-full # with the server's CA; at least require`,
      text: "On a virtual machine: praefect['configuration'][:database][:sslmode] in gitlab.rb.",
    },
    ...ofPraefect(({ connections }) => {
      const [first = undecided("no configuration of Praefect's is known"), ...others] = connections.map(
        (connection) => judge(connection, (value) => encrypted(value, connections.length > 1)),
      );
      return allOf(first, ...others);
    }),
  },
  {
    id: 'postgresql_version',
    title: "PostgreSQL is at or above GitLab's minimum version",
    why: 'GitLab tests no older version: an upgrade of Praefect may then fail during its migrations.',
    expected: `GitLab ${[...minimumPostgresql].map(([gitlab, least]) => `${gitlab}: ${least.minor === 0 ? least.major : versionText(least)}`).join(', ')}`,
    evidence:
      "the server's version, compared with the version of Praefect's image; without an image with all versions that have the database's schema",
    source: `${sources.notInGuide}: GitLab, 'Installation requirements'`,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      text: 'Upgrade PostgreSQL before GitLab. Minor releases contain only fixes: use the latest.',
    },
    ...ofPraefect((facts, inputs) =>
      judge(facts.postgresqlVersion, (server) =>
        supported(server, gitlabVersion(inputs), facts.schemaReleases),
      ),
    ),
  },
  {
    id: 'three_praefects',
    title: 'At least three Praefects run',
    why: 'With two, a restart of one leaves the other alone: it serves every request, and its view alone decides which storages are healthy.',
    expected: 'at least three replicas of Praefect, and three of them ready',
    evidence:
      "the StatefulSet's replicas and ready replicas; on virtual machines the live Praefects according to the database",
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
        ? praefectsAlive.run(inputs)
        : perWorkload(['praefectPods'], ({ set }) =>
            judge(set, ({ replicas, readyReplicas }) =>
              replicas >= 3 && readyReplicas < 3
                ? undecided(
                    'whether three run is not known before they are ready',
                    `${replicas} replicas, ${readyReplicas} ready`,
                  )
                : enough(replicas, 'replicas'),
            ),
          ).run(inputs),
  },
];

/** @param isOneOfSeveral the configuration is then named */
function encrypted(
  { configuration, sslMode, host }: PraefectConnection,
  isOneOfSeveral: boolean,
): CheckVerdict {
  const found = `${isOneOfSeveral ? `${configuration}: ` : ''}sslmode ${sslMode}`;
  if (encryptedModes.includes(sslMode)) return pass(found);
  if (isLocalDatabase(host)) return pass(`${found}, to a database on Praefect's own host`);
  switch (sslMode) {
    case 'disable':
      return fail(found);
    case 'allow':
      return fail(`${found}, which is unencrypted unless the server refuses that`);
    case 'prefer':
      return undecided('with sslmode prefer it is unencrypted if the server has no TLS', found);
    case '':
      return undecided("sslmode is not set: the default of Praefect's PostgreSQL library applies");
    default:
      return undecided(`sslmode ${JSON.stringify(sslMode)} is not one of libpq's modes`);
  }
}

const enough = (count: number, what: string): CheckVerdict => passIf(count >= 3, `${count} ${what}`);

const hasNoPods = (pods: Known<readonly Pod[]>): boolean =>
  isUnknown(pods) ? pods.notApplicable === true : pods.value.length === 0 && pods.incomplete === undefined;

/** By the pods' images; of several versions (a rollout) the newest, which all of them are about to run. */
function gitlabVersion(inputs: CheckInputs): Known<Version> {
  const praefectPods = whole(inputs.praefectPods);
  if (isUnknown(praefectPods) && praefectPods.notApplicable !== true) return praefectPods;
  const [newest] = (isUnknown(praefectPods) ? [] : praefectPods.value)
    .flatMap((pod) => imageVersion(mainContainer(pod)?.image ?? '') ?? [])
    .sort((a, b) => (isVersionAtLeast(a, b) ? -1 : 1));
  return newest === undefined ? unknown("no image of a Praefect pod shows GitLab's version") : known(newest);
}

function supported(server: string, gitlab: Known<Version>, schema: Known<SchemaReleases>): CheckVerdict {
  const found = parseVersion(server);
  if (found === undefined) return undecided(`no version in ${JSON.stringify(server.slice(0, 80))}`);
  if (isUnknown(gitlab)) return supportedByAny(server, found, gitlab, schema);
  const least = minimumPostgresql.get(gitlab.value.major);
  const versions = `PostgreSQL ${server}, GitLab ${versionText(gitlab.value)}`;
  if (least === undefined)
    return undecided(
      `this build does not know the minimum version for GitLab ${gitlab.value.major}`,
      versions,
    );
  return passIf(isVersionAtLeast(found, least), versions);
}

/** Without GitLab's version: decided where the same holds for all versions that it may be. */
function supportedByAny(
  server: string,
  found: Version,
  why: Unknown,
  schema: Known<SchemaReleases>,
): CheckVerdict {
  const from = isUnknown(schema) ? undefined : parseVersion(schema.value.from);
  const before = isUnknown(schema) ? undefined : parseVersion(schema.value.before ?? '');
  const possible = [...minimumPostgresql].filter(
    ([major]) =>
      (from === undefined || major >= from.major) &&
      (before === undefined || major < before.major || (major === before.major && before.minor > 0)),
  );
  const supporting = possible.filter(([, least]) => isVersionAtLeast(found, least)).map(([major]) => major);
  const newest = supporting.at(-1);
  const text = `PostgreSQL ${server}, ${newest === undefined ? 'older than any of these versions needs' : `enough for GitLab up to ${newest}`}`;
  const range = isUnknown(schema)
    ? ''
    : `; the database's schema is that of GitLab ${schemaText(schema.value)}`;
  if (newest === undefined)
    return possible.length > 0 ? fail(`${text}${range}`) : undecided(why, `PostgreSQL ${server}`);
  return supporting.length === possible.length && before !== undefined
    ? pass(`${text}${range}`)
    : undecided(why, `${text}${range}`);
}

const schemaText = ({ from, before }: SchemaReleases): string =>
  before === undefined ? `${from} or later` : `${from} or later, before ${before}`;
