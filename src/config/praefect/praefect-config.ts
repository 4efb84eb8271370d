/**
 * Praefect's own config.toml as a source: the database's address and the configured virtual storages.
 *
 * Keys as in Gitaly's internal/praefect/config/config.go from 13.0 to 19; keys that this build does not know are
 * left alone, since the file is Praefect's. What Praefect itself would refuse is refused here too.
 */

import { Secret } from '../../lib/secret.ts';
import { parseGoDuration } from '../go-duration.ts';
import type { ConfiguredStorages } from '../kinds/lists.ts';
import type { Parameter, Parameters } from '../postgres/keywords.ts';
import type { PasswordSource } from '../postgres/password.ts';
import { bad, type Checked, good, type Origin, problemAt } from '../problem.ts';
import { type Files, whyUnreadable } from '../system.ts';
import { parseToml, type TableAt, type TomlReader, tomlReader } from './toml.ts';

const electionStrategies = ['local', 'sql', 'per_repository'] as const;
export type ElectionStrategy = (typeof electionStrategies)[number];

export interface VirtualStorage extends ConfiguredStorages {
  /** 0: every repository is on every storage. */
  readonly defaultReplicationFactor: number;
}

export interface PraefectConfig {
  readonly file: string;
  /** libpq's parameters of the direct connection; undefined without a [database] (a 13.x that keeps its queue in memory). */
  readonly database: Parameters | undefined;
  readonly virtualStorages: readonly VirtualStorage[];
  /** As written; undefined leaves it to the version: sql in 13.x, per_repository since 14.0. */
  readonly electionStrategy: ElectionStrategy | undefined;
  /** background_verification.verification_interval in seconds; 0: switched off; undefined: not said (7 days). */
  readonly verificationIntervalSeconds: number | undefined;
}

/** Reads the file, now. `asked` is who named it, for the message when it cannot be read. */
export async function readPraefectConfig(
  file: string,
  files: Files,
  asked: Origin,
): Promise<Checked<PraefectConfig>> {
  try {
    return parsePraefectConfig(await files.readText(file), file);
  } catch (error) {
    return bad(problemAt(asked, `Praefect's configuration ${file} ${whyUnreadable(error)}`));
  }
}

/** What the text says; all that is wrong with it at once. */
export function parsePraefectConfig(text: string, file: string): Checked<PraefectConfig> {
  const document = parseToml(text, file);
  if (!document.ok) return document;
  const reader = tomlReader(text, file);
  const top: TableAt = { table: document.value, header: '', nth: 0 };
  const config: PraefectConfig = {
    file,
    database: readDatabase(reader, top),
    virtualStorages: readVirtualStorages(reader, top),
    electionStrategy: readElectionStrategy(reader, top),
    verificationIntervalSeconds: readVerificationInterval(reader, top),
  };
  return reader.problems.length > 0 ? bad(...reader.problems) : good(Object.freeze(config));
}

/**
 * [database] with [database.session_pooled] over it: the direct connection, past a PgBouncer that the main one may
 * be. Precedence as in Gitaly's glsql.DSN(direct): session_pooled, then host_no_proxy and port_no_proxy, then main.
 */
function readDatabase(reader: TomlReader, top: TableAt): Parameters | undefined {
  const main = below(reader, top, 'database');
  if (main === undefined) return undefined;
  const direct = below(reader, main, 'session_pooled');
  // Every key that is there is checked, and the first that says something is used.
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

/** The keys that Praefect shares with libpq, but for the password. */
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

/** One key of a table; to Go, an empty text and a 0 are not set. */
function readKey(reader: TomlReader, at: TableAt, key: string): Parameter | undefined {
  const value = reader.get(at, key, key.startsWith('port') ? 'integer' : 'string');
  return value === undefined || value === '' || value === 0
    ? undefined
    : { value: String(value), origin: reader.origin(at, key) };
}

function readVirtualStorages(reader: TomlReader, top: TableAt): readonly VirtualStorage[] {
  let nodesBefore = 0;
  const names = new Set<string>();
  return (reader.get(top, 'virtual_storage', 'tables') ?? []).map((table, nth) => {
    const at: TableAt = { table, header: 'virtual_storage', nth };
    const name = reader.get(at, 'name', 'string') ?? '';
    if (name === '') reader.wrong(at, undefined, 'has no name; Praefect needs one');
    if (names.has(name)) reader.wrong(at, 'name', `a second virtual storage is called ${name}`);
    names.add(name);
    const storages = readStorages(reader, at, name, nodesBefore);
    nodesBefore += storages.length;
    const defaultReplicationFactor = Math.max(
      0,
      reader.get(at, 'default_replication_factor', 'integer') ?? 0,
    );
    return Object.freeze({ name, storages, defaultReplicationFactor });
  });
}

function readStorages(reader: TomlReader, above: TableAt, name: string, before: number): readonly string[] {
  const nodes = reader.get(above, 'node', 'tables') ?? [];
  if (nodes.length === 0) reader.wrong(above, undefined, `${name} has no [[virtual_storage.node]]`);
  const storages = nodes.map((table, index) => {
    const at: TableAt = { table, header: 'virtual_storage.node', nth: before + index };
    const storage = reader.get(at, 'storage', 'string') ?? '';
    if (storage === '') reader.wrong(at, undefined, 'has no storage; Praefect needs one');
    return { at, storage };
  });
  for (const [index, { at, storage }] of storages.entries()) {
    const first = storages.findIndex((other) => other.storage === storage);
    if (storage !== '' && first !== index)
      reader.wrong(at, 'storage', `a second node of ${name} is called ${storage}`);
  }
  return Object.freeze(storages.map(({ storage }) => storage));
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
  const found = verification && reader.get(verification, 'verification_interval', 'string');
  if (verification === undefined || found === undefined || found === '') return undefined;
  const seconds = parseGoDuration(found);
  if (seconds === undefined || seconds < 0)
    reader.wrong(verification, 'verification_interval', 'expected a duration such as 168h');
  return seconds === undefined ? undefined : Math.floor(seconds);
}

function below(reader: TomlReader, { table, header }: TableAt, key: string): TableAt | undefined {
  const found = reader.get({ table, header, nth: 0 }, key, 'table');
  return found === undefined
    ? undefined
    : { table: found, header: header === '' ? key : `${header}.${key}`, nth: 0 };
}

/** The password that the file holds, read anew each time. */
export const praefectPassword = (file: string, files: Files): PasswordSource => ({
  description: `Praefect's configuration ${file}`,
  async read() {
    const text = await files.readText(file).catch((error: unknown) => {
      throw new Error(`Praefect's configuration ${file} ${whyUnreadable(error)}`, { cause: error });
    });
    const config = parsePraefectConfig(text, file);
    if (!config.ok) throw new Error(`Praefect's configuration ${file} is not valid any more`);
    return config.value.database?.password?.value;
  },
});
