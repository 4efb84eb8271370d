/**
 * Where Praefect's database is and which storages are configured, from whichever source says it: our settings,
 * Praefect's config.toml, or libpq's PG* variables.
 */
import type { DatabaseConnection } from '../database-connection.ts';
import type { ConfiguredStorages } from '../kinds/lists.ts';
import { resolveConnection } from '../postgres/connection.ts';
import { connectionParameters } from '../postgres/connection-string.ts';
import { variableParameters, variablesNameDatabase } from '../postgres/environment.ts';
import type { Parameters } from '../postgres/keywords.ts';
import { passwordFile } from '../postgres/password.ts';
import { bad, type Checked, good, type Origin, type Problem } from '../problem.ts';
import type { Settings } from '../sections/index.ts';
import type { System } from '../system.ts';
import { type PraefectConfig, praefectPassword, readPraefectConfig } from './praefect-config.ts';

/** Where each setting came from, by its name; `loadSettings` gives it, and a missing one reads as the setting itself. */
export type Origins = ReadonlyMap<string, Origin>;

export interface ResolvedPraefect {
  /** Undefined: nothing says where a database is, so it is not watched. */
  readonly database: DatabaseConnection | undefined;
  /** One line for the log, the page and `config check`: what is connected to, and who said so. No secrets. */
  readonly databaseText: string;
  /** Praefect's own configuration, when praefect.config-file names it. */
  readonly config: PraefectConfig | undefined;
  /** The storages of each virtual storage, by our own setting or Praefect's configuration; undefined when neither says. */
  readonly configuredStorages: readonly ConfiguredStorages[] | undefined;
}

/**
 * Reads what the settings point to. All problems at once; nothing is connected to. An address comes from the
 * first that gives one: praefect.database.url, Praefect's config.toml, the PG* variables. What it leaves open is
 * filled from the PG* variables and then libpq's defaults, as libpq does.
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
  const fromConfig =
    config !== undefined && config.virtualStorages.length > 0 ? config.virtualStorages : undefined;
  // Without Praefect's file, it is not known which database it would have named: the variables must not stand in.
  const database =
    read?.ok === false && settings.praefect.database.url === undefined
      ? good(undefined)
      : await databaseConnection(settings, config, origins, system);
  const problems = [...problemsOf(read), ...problemsOf(database)];
  if (!database.ok || problems.length > 0) return bad(...problems);
  return good({
    database: database.value?.connection,
    databaseText:
      database.value?.text ??
      "Praefect's database is not watched: neither praefect.database.url nor praefect.config-file nor PGHOST is set",
    config,
    configuredStorages: virtualStorage ?? fromConfig,
  });
}

export interface FoundDatabase {
  readonly connection: DatabaseConnection;
  readonly text: string;
}

/** The database's connection alone; undefined when nothing says where one is. */
export async function databaseConnection(
  settings: Settings,
  config: PraefectConfig | undefined,
  origins: Origins,
  system: System,
): Promise<Checked<FoundDatabase | undefined>> {
  const own = settings.praefect.database;
  const address = chooseAddress(settings, config, origins, system);
  if (address === undefined) return good(undefined);
  const variables = variableParameters(system.env);
  if (!variables.ok) return variables;

  const parameters = { ...variables.value, ...address.parameters };
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
  const text = `database ${database} at ${place} as ${user}, sslmode ${ssl.mode}, by ${address.text}; password from ${password}`;
  return good({ connection, text });
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

const problemsOf = (checked: Checked<unknown> | undefined): readonly Problem[] =>
  checked === undefined || checked.ok ? [] : checked.problems;
