/** docs/configuration.md: a pure function of the settings, so that it cannot differ from the program. */
import { tableCell } from '../lib/format.ts';
import { sections } from './sections/index.ts';
import { environmentPrefix, type NamedSetting, namedSettings, printedDefault } from './setting.ts';
import { entryLines, nestedLines } from './settings-text.ts';

/** The whole page, as Markdown. */
export function configurationReference(): string {
  const named = namedSettings(sections);
  const titles = [...new Set(named.map(({ section }) => section))];
  const tables = titles.map((title) =>
    [`## ${title}`, '', ...table(named.filter(({ section }) => section === title))].join('\n'),
  );
  return [introduction, ...tables, afterword, exampleFile(named), ''].join('\n\n').replace(/\n+$/, '\n');
}

const introduction = `<!-- Generated from src/config/sections by "gitaly-exporter generate". Do not edit. -->

# Configuration

Every setting can be set in three ways. Flags take precedence over environment variables, variables over the file, and the file over the defaults.

| | example |
| --- | --- |
| flag | \`--praefect.database.refresh-interval=30s\` |
| variable: \`${environmentPrefix}\` and the flag in capitals, \`.\` and \`-\` as \`_\` | \`${environmentPrefix}PRAEFECT_DATABASE_REFRESH_INTERVAL=30s\` |
| file (\`--config.file\`): YAML, the dots of the flag are its nesting | \`praefect: {database: {refresh-interval: 30s}}\` |

- An unknown flag, variable with this prefix or key of the file, or an invalid value, is an error: the exporter does not start and reports all problems together. \`gitaly-exporter config check\` finds them, and prints the settings in effect and the source of each.
- Durations use Prometheus' syntax (\`90s\`, \`1h30m\`), ratios are \`1%\` or \`0.01\`.
- A setting with several values: repeat the flag, separate the values by commas in the variable, write a list in the file.
- A switch is on as \`--web.enable-reload\` and off as \`--no-web.enable-reload\`; in a variable or the file it is \`true\` or \`false\`.
- A setting with values by name (\`alerts.label\`, \`alerts.severity\`): \`name=value\` likewise; in the file a map.
- \`alerts.*\` are used by the page, by \`gitaly-exporter generate alerts\` and by \`generate dashboards\`: give all of them the same file.
- A path in the file is relative to the file's directory.
- SIGHUP (\`systemctl reload gitaly-exporter\`), or POST /-/reload where \`--web.enable-reload\` is set, reads all of them again. With an error the previous settings stay in use, the log has the reason, and \`gitaly_exporter_config_last_reload_success\` is 0. Settings of the server (\`web.*\`) need a restart.`;

const afterword = `## The address of Praefect's database

The first of these that sets an address is used. What it does not set comes from libpq's variables, then from libpq's defaults.

1. \`praefect.database.url\`: a \`postgres://\` URL or libpq's keywords. Used are \`host\`, \`port\`, \`dbname\`, \`user\`, \`password\`, \`passfile\`, \`connect_timeout\`, \`sslmode\`, \`sslrootcert\`, \`sslcert\` and \`sslkey\`. Other parameters of libpq are accepted where their value changes nothing (\`keepalives\`, \`client_encoding\`) and rejected where ignoring them could cost TLS or lead to another server.
2. \`praefect.config-file\`: Praefect's own \`config.toml\`, \`[database]\` with \`[database.session_pooled]\` (before 15: \`host_no_proxy\`, \`port_no_proxy\`) over it, so that the connection is the direct one where the main one is a PgBouncer.
3. \`PGHOST\`, \`PGPORT\`, \`PGDATABASE\`, \`PGUSER\`, \`PGPASSWORD\`, \`PGPASSFILE\`, \`PGCONNECT_TIMEOUT\`, \`PGSSLMODE\`, \`PGSSLROOTCERT\`, \`PGSSLCERT\`, \`PGSSLKEY\`, when \`PGHOST\` or \`PGDATABASE\` is among them. \`PGSERVICE\` and variables that would lead to another server or change the security are rejected.

The password comes from the first of \`praefect.database.password-file\`, \`praefect.database.passfile\`, the address (or \`PGPASSWORD\`), \`PGPASSFILE\` and \`~/.pgpass\`, and is read again for each connection. A passfile that other users can read is rejected.

\`sslmode\` has libpq's meaning: \`prefer\` (the default) uses TLS when the server offers it and verifies nothing; \`require\` requires TLS, and verifies the chain when there is a root certificate; \`verify-ca\` verifies the chain, \`verify-full\` also the host name. \`sslrootcert=system\` uses the authorities that the system trusts, and needs \`verify-full\`. Without \`sslrootcert\`, \`sslcert\`, \`sslkey\` the files \`root.crt\`, \`postgresql.crt\`, \`postgresql.key\` in \`~/.postgresql\` are used where they exist. A configured certificate that does not exist is an error.`;

function table(settings: readonly NamedSetting[]): readonly string[] {
  const rows = settings.map((named) => {
    const { kind, help, example } = named.setting;
    const shown = example === undefined ? '' : `<br>Example: ${code(example)}`;
    const names = `${code(named.flag)}<br>${code(named.variable)}`;
    return `| ${names} | ${kind.name} | ${defaultCell(named)} | ${tableCell(help)}${shown} |`;
  });
  return ['| Setting | Type | Default | Description |', '| --- | --- | --- | --- |', ...rows];
}

function defaultCell(named: NamedSetting): string {
  const printed = printedDefault(named);
  if (printed === undefined) return tableCell(named.setting.defaultText ?? 'none');
  return code(Array.isArray(printed) ? printed.join(', ') : String(printed));
}

const code = (text: string): string => `\`${tableCell(text)}\``;

/** A file with every setting, at its example or default. */
function exampleFile(named: readonly NamedSetting[]): string {
  const inFile = named.filter(({ setting }) => setting.inFile);
  const lines = nestedLines(inFile, (each) => entryLines(each, exampleValue(each.setting)));
  return ['## A file with every setting', '', '```yaml', ...lines, '```'].join('\n');
}

function exampleValue({ kind, example, default: value }: NamedSetting['setting']): unknown {
  if (example === undefined) return value === undefined ? '' : kind.print(value as NonNullable<unknown>);
  if (kind.secret) return example;
  const read = kind.read({ form: 'text', text: example, origin: { source: 'default' } }, '');
  return read.ok ? kind.print(read.value) : example;
}
