/**
 * Reads Praefect's own config.toml: the database's address, the configured virtual storages and verification.
 *
 * Keys follow Gitaly's internal/praefect/config/config.go from 13.0 to 19. Unknown keys are ignored, as the file is
 * Praefect's. An entry that is wrong is reported and the rest is used, except for the database's address: a part of it
 * would lead to another database.
 */

import { whyUnreadable } from '../../lib/files.ts';
import { Secret } from '../../lib/secret.ts';
import type { ConfiguredStorages } from '../kinds/lists.ts';
import type { Parameter, Parameters } from '../postgres/keywords.ts';
import type { PasswordSource } from '../postgres/password.ts';
import { bad, type Checked, good, type Origin, problemAt, type SettingProblem } from '../problem.ts';
import type { Files } from '../system.ts';
import { readToml, type TableReader } from '../toml/document.ts';
import { templateValue } from '../toml/template.ts';

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
  const document = readToml(
    text,
    file,
    "found a template, expected Praefect's rendered configuration: set praefect.config-file to the rendered file, or set praefect.database.url and praefect.virtual-storage instead",
  );
  if (!document.ok) return document;
  const databaseProblems: SettingProblem[] = [];
  const storageProblems: SettingProblem[] = [];
  const problems: SettingProblem[] = [];
  const database = readDatabase(document.value.top(databaseProblems));
  const virtualStorages = readVirtualStorages(document.value.top(storageProblems));
  const top = document.value.top(problems);
  const electionStrategy = readElectionStrategy(top.table('failover'));
  const verificationIntervalSeconds = readVerificationInterval(top.table('background_verification'));
  const incomplete =
    top.text('config_command') === undefined
      ? undefined
      : `${file} is not all of Praefect's configuration: the output of its config_command adds to this file`;
  return good(
    Object.freeze({
      file,
      database,
      databaseProblems,
      incomplete,
      problems: [...storageProblems, ...problems],
      virtualStorages: storageProblems.length > 0 ? [] : virtualStorages,
      electionStrategy,
      verificationIntervalSeconds,
    }),
  );
}

/**
 * The direct connection, which bypasses a PgBouncer in [database]. Precedence as in Gitaly's glsql.DSN(direct):
 * [database.session_pooled], then host_no_proxy and port_no_proxy, then [database].
 */
function readDatabase(top: TableReader): Parameters | undefined {
  const main = top.table('database');
  if (!main.isSet) return undefined;
  const direct = main.table('session_pooled');
  // All keys are checked, and the first one that is set is used.
  const first = (keyword: PlainKeyword | 'password'): Parameter | undefined => {
    const older = keyword === 'host' || keyword === 'port' ? readKey(main, `${keyword}_no_proxy`) : undefined;
    const own = readKey(main, keyword);
    return readKey(direct, keyword) ?? older ?? own;
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
function readKey(at: TableReader, key: string): Parameter | undefined {
  const value = at.get(key, key.startsWith('port') ? 'integer' : 'string');
  if (value === undefined || value === '' || value === 0) return undefined;
  if (String(value).includes(templateValue)) {
    if (key !== 'password') at.wrong(key, filledIn);
    return undefined;
  }
  return { value: String(value), origin: at.origin(key) };
}

const filledIn = 'the template fills this in when a pod starts: set praefect.database.url instead';

function readVirtualStorages(top: TableReader): readonly VirtualStorage[] {
  let nodesBefore = 0;
  const names = new Set<string>();
  return top.tables('virtual_storage').map((at) => {
    const name = at.text('name') ?? '';
    if (name === '') at.wrong(undefined, 'name is missing');
    if (names.has(name)) at.wrong('name', `duplicate virtual storage ${name}`);
    names.add(name);
    const nodes = readStorages(at, name, nodesBefore);
    nodesBefore += nodes.length;
    const storages = Object.freeze(nodes.map(({ storage }) => storage));
    const addresses = new Map(nodes.map(({ address, storage }) => [storage, address]));
    const defaultReplicationFactor = Math.max(0, at.get('default_replication_factor', 'integer') ?? 0);
    return Object.freeze({ name, storages, addresses, defaultReplicationFactor });
  });
}

interface StorageEntry {
  readonly storage: string;
  /** Empty where it is missing, or filled in by a template. */
  readonly address: string;
}

function readStorages(above: TableReader, name: string, before: number): readonly StorageEntry[] {
  const nodes = above.tables('node', before);
  if (nodes.length === 0) above.wrong(undefined, `${name} has no [[virtual_storage.node]]`);
  const storages = nodes.map((at) => {
    const storage = at.text('storage') ?? '';
    if (storage === '') at.wrong(undefined, 'storage is missing');
    if (storage.includes(templateValue))
      at.wrong('storage', 'the template fills this in when a pod starts: set praefect.virtual-storage');
    const address = at.text('address') ?? '';
    return { at, storage, address: address.includes(templateValue) ? '' : address };
  });
  const found = new Set<string>();
  for (const { at, storage } of storages) {
    if (storage !== '' && found.has(storage))
      at.wrong('storage', `duplicate storage ${storage} in virtual storage ${name}`);
    found.add(storage);
  }
  return storages;
}

function readElectionStrategy(failover: TableReader): ElectionStrategy | undefined {
  const found = failover.text('election_strategy');
  const known = electionStrategies.find((strategy) => strategy === found);
  if (found !== undefined && known === undefined)
    failover.wrong('election_strategy', `expected one of ${electionStrategies.join(', ')}`);
  return known;
}

function readVerificationInterval(verification: TableReader): number | undefined {
  const seconds = verification.seconds('verification_interval');
  // Praefect switches verification off at 0 and below.
  return seconds === undefined ? undefined : Math.max(0, Math.floor(seconds));
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
