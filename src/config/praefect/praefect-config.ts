/**
 * Reads Praefect's own config.toml: the database's address, the configured virtual storages and verification.
 *
 * Keys follow Gitaly's internal/praefect/config/config.go from 13.0 to 19. Unknown keys are ignored, as the file is
 * Praefect's. An entry that is wrong is reported and the rest is used, except for the database's address: a part of it
 * would lead to another database.
 */

import { whyUnreadable } from '../../lib/files.ts';
import { Secret } from '../../lib/secret.ts';
import { isTemplate, templateToml, templateValue } from '../gitaly/template.ts';
import { goDurationOf } from '../go-duration.ts';
import type { ConfiguredStorages } from '../kinds/lists.ts';
import type { Parameter, Parameters } from '../postgres/keywords.ts';
import type { PasswordSource } from '../postgres/password.ts';
import { bad, type Checked, good, type Origin, problemAt, type SettingProblem } from '../problem.ts';
import type { Files } from '../system.ts';
import { parseToml, type TableAt, type TomlReader, tomlReader } from './toml.ts';

const electionStrategies = ['local', 'sql', 'per_repository'] as const;
type ElectionStrategy = (typeof electionStrategies)[number];

interface VirtualStorage extends ConfiguredStorages {
  /** By storage: `tcp://gitaly-0.gitaly.gitlab.svc:8075`. */
  readonly addresses: ReadonlyMap<string, string>;
  /** 0: each repository has a replica on every storage. */
  readonly defaultReplicationFactor: number;
}

export interface PraefectConfig {
  readonly file: string;
  /** libpq's parameters of the direct connection; undefined without [database] (13.x with its queue in memory). */
  readonly database: Parameters | undefined;
  /** The wrong entries of [database]: the address is then not known. */
  readonly databaseProblems: readonly SettingProblem[];
  /**
   * Why the file is not all of Praefect's configuration: config_command names a program whose output adds to the file
   * and replaces its values.
   */
  readonly incomplete: string | undefined;
  /** The wrong entries outside of [database]. */
  readonly problems: readonly SettingProblem[];
  /** Empty, too, when one of them is wrong: a part would be taken for the whole. */
  readonly virtualStorages: readonly VirtualStorage[];
  /** Undefined: the version's default, which is sql in 13.x and per_repository since 14.0. */
  readonly electionStrategy: ElectionStrategy | undefined;
  /** background_verification.verification_interval in seconds; 0: switched off; undefined: not set (7 days). */
  readonly verificationIntervalSeconds: number | undefined;
}

/** @param origin where the file's path was set, for the message when it cannot be read */
export async function readPraefectConfig(
  file: string,
  files: Files,
  origin: Origin,
): Promise<Checked<PraefectConfig>> {
  try {
    return parsePraefectConfig(await files.readText(file), file);
  } catch (error) {
    return bad(problemAt(origin, `Praefect's configuration ${file} ${whyUnreadable(error)}`));
  }
}

/**
 * The configuration with its problems, or why the text is none. Reads the chart's config.toml.tpl, too, whose ConfigMap has
 * everything but the tokens and the password: these count as not set.
 */
export function parsePraefectConfig(text: string, file: string): Checked<PraefectConfig> {
  const document = parseToml(isTemplate(text) ? templateToml(text) : text, file);
  if (!document.ok) return document;
  const top: TableAt = { table: document.value, header: '', nth: 0 };
  const ofDatabase = tomlReader(text, file);
  const ofStorages = tomlReader(text, file);
  const ofRest = tomlReader(text, file);
  const database = readDatabase(ofDatabase, top);
  const virtualStorages = readVirtualStorages(ofStorages, top);
  const electionStrategy = readElectionStrategy(ofRest, top);
  const verificationIntervalSeconds = readVerificationInterval(ofRest, top);
  const command = ofRest.get(top, 'config_command', 'string');
  const incomplete =
    command === undefined || command === ''
      ? undefined
      : `${file} is not all of Praefect's configuration: the output of its config_command adds to this file`;
  return good(
    Object.freeze({
      file,
      database,
      databaseProblems: ofDatabase.problems,
      incomplete,
      problems: [...ofStorages.problems, ...ofRest.problems],
      virtualStorages: ofStorages.problems.length > 0 ? [] : virtualStorages,
      electionStrategy,
      verificationIntervalSeconds,
    }),
  );
}

/**
 * The direct connection, which bypasses a PgBouncer in [database]. Precedence as in Gitaly's glsql.DSN(direct):
 * [database.session_pooled], then host_no_proxy and port_no_proxy, then [database].
 */
function readDatabase(reader: TomlReader, top: TableAt): Parameters | undefined {
  const main = below(reader, top, 'database');
  if (main === undefined) return undefined;
  const direct = below(reader, main, 'session_pooled');
  // All keys are checked, and the first one that is set is used.
  const first = (keyword: PlainKeyword | 'password'): Parameter | undefined => {
    const older =
      keyword === 'host' || keyword === 'port' ? readKey(reader, main, `${keyword}_no_proxy`) : undefined;
    const own = readKey(reader, main, keyword);
    return (direct === undefined ? undefined : readKey(reader, direct, keyword)) ?? older ?? own;
  };
  const plain: Partial<Record<PlainKeyword, Parameter>> = {};
  for (const keyword of plainKeywords) {
    const parameter = first(keyword);
    if (parameter !== undefined) plain[keyword] = parameter;
  }
  const password = first('password');
  if (password === undefined) return plain;
  return { ...plain, password: { value: new Secret(password.value), origin: password.origin } };
}

/** The keys that Praefect shares with libpq, except the password. */
const plainKeywords = [
  'host',
  'port',
  'dbname',
  'user',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
] as const;
type PlainKeyword = (typeof plainKeywords)[number];

/** One key of a table. Go takes an empty string and 0 as not set. */
function readKey(reader: TomlReader, at: TableAt, key: string): Parameter | undefined {
  const value = reader.get(at, key, key.startsWith('port') ? 'integer' : 'string');
  if (value === undefined || value === '' || value === 0) return undefined;
  if (String(value).includes(templateValue)) {
    if (key !== 'password') reader.wrong(at, key, filledIn);
    return undefined;
  }
  return { value: String(value), origin: reader.origin(at, key) };
}

const filledIn = 'the template fills this in when a pod starts: set praefect.database.url instead';

function readVirtualStorages(reader: TomlReader, top: TableAt): readonly VirtualStorage[] {
  let nodesBefore = 0;
  const names = new Set<string>();
  return (reader.get(top, 'virtual_storage', 'tables') ?? []).map((table, nth) => {
    const at: TableAt = { table, header: 'virtual_storage', nth };
    const name = reader.get(at, 'name', 'string') ?? '';
    if (name === '') reader.wrong(at, undefined, 'name is missing');
    if (names.has(name)) reader.wrong(at, 'name', `duplicate virtual storage ${name}`);
    names.add(name);
    const nodes = readStorages(reader, at, name, nodesBefore);
    nodesBefore += nodes.length;
    const storages = Object.freeze(nodes.map(({ storage }) => storage));
    const addresses = new Map(nodes.map(({ address, storage }) => [storage, address]));
    const defaultReplicationFactor = Math.max(
      0,
      reader.get(at, 'default_replication_factor', 'integer') ?? 0,
    );
    return Object.freeze({ name, storages, addresses, defaultReplicationFactor });
  });
}

interface StorageEntry {
  readonly storage: string;
  /** Empty where it is missing, or filled in by a template. */
  readonly address: string;
}

function readStorages(
  reader: TomlReader,
  above: TableAt,
  name: string,
  before: number,
): readonly StorageEntry[] {
  const nodes = reader.get(above, 'node', 'tables') ?? [];
  if (nodes.length === 0) reader.wrong(above, undefined, `${name} has no [[virtual_storage.node]]`);
  const storages = nodes.map((table, index) => {
    const at: TableAt = { table, header: 'virtual_storage.node', nth: before + index };
    const storage = reader.get(at, 'storage', 'string') ?? '';
    if (storage === '') reader.wrong(at, undefined, 'storage is missing');
    if (storage.includes(templateValue))
      reader.wrong(
        at,
        'storage',
        'the template fills this in when a pod starts: set praefect.virtual-storage',
      );
    const address = reader.get(at, 'address', 'string') ?? '';
    return { at, storage, address: address.includes(templateValue) ? '' : address };
  });
  const found = new Set<string>();
  for (const { at, storage } of storages) {
    if (storage !== '' && found.has(storage))
      reader.wrong(at, 'storage', `duplicate storage ${storage} in virtual storage ${name}`);
    found.add(storage);
  }
  return storages;
}

function readElectionStrategy(reader: TomlReader, top: TableAt): ElectionStrategy | undefined {
  const failover = below(reader, top, 'failover');
  const found = failover === undefined ? undefined : reader.get(failover, 'election_strategy', 'string');
  if (failover === undefined || found === undefined || found === '') return undefined;
  const known = electionStrategies.find((strategy) => strategy === found);
  if (known === undefined) {
    reader.wrong(failover, 'election_strategy', `expected one of ${electionStrategies.join(', ')}`);
  }
  return known;
}

function readVerificationInterval(reader: TomlReader, top: TableAt): number | undefined {
  const verification = below(reader, top, 'background_verification');
  const key = 'verification_interval';
  const found =
    verification !== undefined && Object.hasOwn(verification.table, key)
      ? verification.table[key]
      : undefined;
  if (verification === undefined || found === undefined || found === '') return undefined;
  const seconds = goDurationOf(found);
  if (seconds === undefined) reader.wrong(verification, key, 'expected a duration such as 168h');
  // Praefect switches verification off at 0 and below.
  return seconds === undefined ? undefined : Math.max(0, Math.floor(seconds));
}

function below(reader: TomlReader, { table, header }: TableAt, key: string): TableAt | undefined {
  const found = reader.get({ table, header, nth: 0 }, key, 'table');
  return found === undefined
    ? undefined
    : { table: found, header: header === '' ? key : `${header}.${key}`, nth: 0 };
}

/** The file's password, read each time. */
export const praefectPassword = (file: string, files: Files): PasswordSource => ({
  description: `Praefect's configuration ${file}`,
  async read() {
    const text = await files.readText(file).catch((error: unknown) => {
      throw new Error(`Praefect's configuration ${file} ${whyUnreadable(error)}`, { cause: error });
    });
    const config = parsePraefectConfig(text, file);
    if (!config.ok) throw new Error(`Praefect's configuration ${file} is no longer valid`);
    return config.value.database?.password?.value;
  },
});
