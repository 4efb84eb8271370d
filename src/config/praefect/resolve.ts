/**
 * Resolves the address of Praefect's database and the configured storages from the settings, Praefect's config.toml
 * and libpq's PG* variables.
 */
import type { DatabaseConnection } from '../database-connection.ts';
import type { ConfiguredStorages } from '../kinds/lists.ts';
import { resolveConnection } from '../postgres/connection.ts';
import { connectionParameters } from '../postgres/connection-string.ts';
import { type Parameters, variableParameters, variablesNameDatabase } from '../postgres/keywords.ts';
import { passwordFile } from '../postgres/password.ts';
import { bad, type Checked, good, type Origin, problemAt, type SettingProblem } from '../problem.ts';
import type { Settings } from '../sections/index.ts';
import type { System } from '../system.ts';
import { type PraefectConfig, praefectPassword, readPraefectConfig } from './praefect-config.ts';

/** The origin of each setting by its name, from `loadSettings`; a missing one counts as the flag. */
export type Origins = ReadonlyMap<string, Origin>;

export interface ResolvedPraefect {
  /** Undefined: no source has an address, so no database is monitored. */
  readonly database: DatabaseConnection | undefined;
  /** One line for the log, the page and `config check`: the database and the source of its address. No secrets. */
  readonly databaseText: string;
  /** Of praefect.config-file. */
  readonly config: PraefectConfig | undefined;
  /** Entries of Praefect's configuration that are wrong and were left out. */
  readonly problems: readonly SettingProblem[];
  /** The storages of each virtual storage, from praefect.virtual-storage or Praefect's configuration. */
  readonly configuredStorages: readonly ConfiguredStorages[] | undefined;
}

/**
 * Reads the files that the settings name, and reports every problem. It opens no connection. The address comes from the
 * first of praefect.database.url, Praefect's config.toml and the PG* variables that has one; parameters that it lacks
 * come from the PG* variables and libpq's defaults, as in libpq.
 */
export async function resolvePraefect(
  settings: Settings,
  origins: Origins,
  system: System,
): Promise<Checked<ResolvedPraefect>> {
  const { configFile, virtualStorage } = settings.praefect;
  const read =
    configFile === undefined
      ? undefined
      : await readPraefectConfig(configFile, system.files, originOf(origins, 'praefect.config-file'));
  const config = read?.ok === true ? read.value : undefined;
  // A part of the storages would be taken for all of them.
  const fromConfig =
    config !== undefined && config.virtualStorages.length > 0 && config.incomplete === undefined
      ? config.virtualStorages
      : undefined;
  // When Praefect's file cannot be read, the variables must not replace it: they may name another database.
  const database =
    read?.ok === false && settings.praefect.database.url === undefined
      ? good(undefined)
      : await databaseConnection(settings, config, origins, system);
  const problems = [...problemsOf(read), ...problemsOf(database)];
  if (!database.ok || problems.length > 0) return bad(...problems);
  return good({
    database: database.value?.connection,
    databaseText: database.value?.text ?? notMonitored(config),
    problems: config?.problems ?? [],
    config,
    configuredStorages: virtualStorage ?? fromConfig,
  });
}

function notMonitored(config: PraefectConfig | undefined): string {
  if (config === undefined)
    return "Praefect's database is not monitored: none of praefect.database.url, praefect.config-file and PGHOST is set";
  const why =
    config.incomplete === undefined
      ? `${config.file} has no [database]`
      : `${config.incomplete}, which has no [database]`;
  return `Praefect's database is not monitored: ${why}: set praefect.database.url`;
}

interface FoundDatabase {
  readonly connection: DatabaseConnection;
  readonly text: string;
}

/** Only the database's connection; undefined when no source has an address. */
async function databaseConnection(
  settings: Settings,
  config: PraefectConfig | undefined,
  origins: Origins,
  system: System,
): Promise<Checked<FoundDatabase | undefined>> {
  const own = settings.praefect.database;
  // The variables must not replace a wrong address: they may name another database.
  if (own.url === undefined && config !== undefined && config.databaseProblems.length > 0)
    return bad(...config.databaseProblems);
  const address = chooseAddress(settings, config, origins, system);
  if (address === undefined) return good(undefined);
  const variables = variableParameters(system.env);
  if (!variables.ok) return variables;

  const parameters = { ...variables.value, ...address.parameters };
  if (config !== undefined && address.parameters === config.database) {
    const partial = partialAddress(config, parameters, own.user);
    if (partial.length > 0) return bad(...partial);
  }
  const fromConfig =
    config !== undefined &&
    parameters.password !== undefined &&
    parameters.password === config.database?.password;
  const resolved = await resolveConnection(
    parameters,
    {
      user: own.user,
      connectTimeoutMs: own.connectTimeout,
      passwordFile: own.passwordFile === undefined ? undefined : passwordFile(own.passwordFile, system.files),
      passfile: own.passfile,
      rereadPassword: fromConfig ? praefectPassword(config.file, system.files) : undefined,
    },
    system,
  );
  if (!resolved.ok) return resolved;
  const { connection, password } = resolved.value;
  const { host, port, database, user, ssl } = connection;
  const place = host.startsWith('/')
    ? `${host}/.s.PGSQL.${port}`
    : `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const text = `database ${database} at ${place} as ${user}, sslmode ${ssl.mode}, address from ${address.text}, password from ${password}`;
  return good({ connection, text });
}

/** Why the address in Praefect's configuration leads nowhere: libpq's defaults would be a socket of this host. */
function partialAddress(
  config: PraefectConfig,
  parameters: Parameters,
  user: string | undefined,
): readonly SettingProblem[] {
  const missing = [
    ...(parameters.host === undefined ? ['host'] : []),
    ...(parameters.dbname === undefined ? ['dbname'] : []),
    ...(parameters.user === undefined && user === undefined ? ['user'] : []),
  ];
  if (missing.length === 0) return [];
  const why = config.incomplete === undefined ? '' : ', and the output of config_command adds to this file';
  return [
    problemAt(
      { source: 'file', file: config.file, line: undefined },
      `[database] has no ${missing.join(', no ')}${why}: set praefect.database.url`,
    ),
  ];
}

function chooseAddress(
  settings: Settings,
  config: PraefectConfig | undefined,
  origins: Origins,
  system: System,
): { readonly parameters: Parameters; readonly text: string } | undefined {
  const { url } = settings.praefect.database;
  if (url !== undefined) {
    const name = 'praefect.database.url';
    return { parameters: connectionParameters(url.reveal(), originOf(origins, name)), text: name };
  }
  if (config?.database !== undefined) return { parameters: config.database, text: config.file };
  return variablesNameDatabase(system.env) ? { parameters: {}, text: 'the PG* variables' } : undefined;
}

const originOf = (origins: Origins, name: string): Origin =>
  origins.get(name) ?? { source: 'flag', name: `--${name}` };

const problemsOf = (checked: Checked<unknown> | undefined): readonly SettingProblem[] =>
  checked === undefined || checked.ok ? [] : checked.problems;
