/** What the checks of Praefect read: its configuration, its connections, its schema. */
import type { Parameters } from '../config/postgres/keywords.ts';
import { parsePraefectConfig } from '../config/praefect/praefect-config.ts';
import { type Checked, firstProblemText } from '../config/problem.ts';
import { type Known, known, mapKnown, notApplicable, present, unknown, whole } from '../lib/known.ts';
import type { PraefectConnection, PraefectFacts } from '../rules/checks/inputs.ts';
import { configName, configsOfPods } from '../sources/kubernetes/directory/config-maps.ts';
import type { Pod } from '../sources/kubernetes/objects/types.ts';
import type { Stores } from '../sources/kubernetes/store.ts';
import { releasesOfVariant } from '../sources/praefect/variant.ts';
import type { KubernetesAccess } from './sources.ts';

interface PraefectState {
  /** server_version. */
  readonly postgresqlVersion: string | undefined;
  /** The first GitLab release with this form of the schema. */
  readonly schemaVariant: string | undefined;
  /** Praefect's own connection, of praefect.config-file. */
  readonly connection: Parameters | undefined;
  /** Live Praefects according to the database. */
  readonly instances: number | undefined;
}

/** What is undefined is unknown to the checks. */
export interface PraefectInputSources {
  /** Undefined: neither its database nor its configuration is known. */
  readonly praefect: PraefectState | undefined;
  readonly kubernetes:
    | (Pick<KubernetesAccess, 'componentOf' | 'configMaps' | 'otherPods' | 'volumes'> & {
        readonly stores: Stores;
      })
    | undefined;
}

export const valueOr = <T>(fact: Known<readonly T[]>): readonly T[] => ('unknown' in fact ? [] : fact.value);

/** A configuration file or ConfigMap as the checks use it: all of it, or none. */
export function knownConfig<T extends { readonly incomplete: string | undefined }>(
  parsed: Checked<T>,
): Known<T> {
  if (!parsed.ok) return unknown(firstProblemText(parsed.problems));
  return parsed.value.incomplete === undefined ? known(parsed.value) : unknown(parsed.value.incomplete);
}

export async function praefectFacts(
  sources: PraefectInputSources,
  praefectPods: Known<readonly Pod[]>,
  signal: AbortSignal,
): Promise<Known<PraefectFacts>> {
  const { praefect } = sources;
  if (praefect === undefined && valueOr(praefectPods).length === 0) {
    const pods = whole(praefectPods);
    return 'unknown' in pods && pods.notApplicable !== true
      ? pods
      : notApplicable('there is no Praefect: neither its database nor its pods are watched');
  }
  return known({
    connections: await connectionsOf(sources, praefectPods, signal),
    postgresqlVersion:
      praefect === undefined
        ? unknown("Praefect's database is not configured (praefect.database.url)")
        : present(praefect.postgresqlVersion, "Praefect's database has not responded yet"),
    schemaReleases: schemaReleasesOf(praefect),
    instances: present(praefect?.instances, 'the live Praefects are unknown'),
  });
}

function schemaReleasesOf(praefect: PraefectState | undefined): PraefectFacts['schemaReleases'] {
  const releases = releasesOfVariant(praefect?.schemaVariant ?? '');
  return releases === undefined ? unknown("the schema of Praefect's database is unknown") : known(releases);
}

/** Of praefect.config-file, and of the ConfigMaps of all Praefect pods: each installation may have its own. */
async function connectionsOf(
  { praefect, kubernetes }: PraefectInputSources,
  praefectPods: Known<readonly Pod[]>,
  signal: AbortSignal,
): Promise<PraefectFacts['connections']> {
  const pods = valueOr(praefectPods);
  const others = whole(praefectPods);
  const unseen = 'unknown' in others && others.notApplicable !== true ? [others] : [];
  const own =
    praefect?.connection?.sslmode === undefined
      ? []
      : [known(connectionOf('praefect.config-file', praefect.connection))];
  if (kubernetes?.configMaps === undefined || pods.length === 0)
    return own.length + unseen.length > 0
      ? [...own, ...unseen]
      : [
          unknown(
            "Praefect's configuration is not read: set praefect.config-file, or grant get on ConfigMaps",
          ),
        ];
  const { componentOf, configMaps } = kubernetes;
  const { configs, failures } = await configsOfPods(pods, 'praefect', componentOf, configMaps, signal);
  const read = configs.map(({ config }) => connectionIn(config.text, configName(config)));
  const covered = new Set(configs.flatMap(({ pods: mounting }) => mounting.map(({ uid }) => uid)));
  const without = pods.filter(({ uid, phase }) => phase === 'Running' && !covered.has(uid));
  const unread =
    failures.length > 0
      ? failures.map(({ message }) => unknown(message))
      : without.map(({ namespace, name }) =>
          unknown(`pod ${namespace}/${name} mounts no ConfigMap with a config.toml`),
        );
  return [...own, ...read, ...unread, ...unseen];
}

const connectionIn = (text: string, name: string): Known<PraefectConnection> =>
  mapKnown(knownConfig(parsePraefectConfig(text, name)), ({ database }) =>
    known(connectionOf(name, database)),
  );

const connectionOf = (configuration: string, database: Parameters | undefined): PraefectConnection => ({
  configuration,
  sslMode: database?.sslmode?.value ?? '',
  host: database?.host?.value ?? '',
});
