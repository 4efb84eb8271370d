/** docs/configuration.md: a pure function of the settings, so that it cannot say anything else than the program. */
import { stringify } from 'yaml';
import { sections } from './sections/index.ts';
import { environmentPrefix, type NamedSetting, namedSettings, printedDefault } from './setting.ts';

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

Every setting can be given in three ways. Flags win over variables, variables over the file, and the file over the defaults.

| | example |
| --- | --- |
| flag | \`--praefect.database.refresh-interval=30s\` |
| variable: \`${environmentPrefix}\` and the flag in capitals, \`.\` and \`-\` as \`_\` | \`${environmentPrefix}PRAEFECT_DATABASE_REFRESH_INTERVAL=30s\` |
| file (\`--config.file\`): YAML, the dots of the flag are its nesting | \`praefect: {database: {refresh-interval: 30s}}\` |

- A flag, a variable with this prefix, or a key of the file that is not in the tables below stops the start, and so does a value that is not of its kind. All such problems are reported at once. \`gitaly-exporter config check\` looks for them, and prints the settings that hold and where each came from.
- Durations are written as Prometheus writes them (\`90s\`, \`1h30m\`), shares as \`1%\` or \`0.01\`.
- A setting that takes several values: repeat the flag, part the values by commas in the variable, write a list in the file.
- A switch is on as \`--web.enable-reload\` and off as \`--no-web.enable-reload\`; in a variable or the file it is \`true\` or \`false\`.
- A path in the file is relative to the file's folder.`;

const afterword = `## How Praefect's database is found

The first of these that gives an address is used; what it leaves open is filled from libpq's variables and then libpq's defaults.

1. \`praefect.database.url\`: a \`postgres://\` URL or libpq's keywords. What is in neither \`host\`, \`port\`, \`dbname\`, \`user\`, \`password\`, \`passfile\`, \`connect_timeout\`, \`sslmode\`, \`sslrootcert\`, \`sslcert\` nor \`sslkey\` is refused.
2. \`praefect.config-file\`: Praefect's own \`config.toml\`, \`[database]\` with \`[database.session_pooled]\` (before 15: \`host_no_proxy\`, \`port_no_proxy\`) over it, so that the connection is the direct one where the main one is a PgBouncer.
3. \`PGHOST\`, \`PGPORT\`, \`PGDATABASE\`, \`PGUSER\`, \`PGPASSWORD\`, \`PGPASSFILE\`, \`PGCONNECT_TIMEOUT\`, \`PGSSLMODE\`, \`PGSSLROOTCERT\`, \`PGSSLCERT\`, \`PGSSLKEY\`, when \`PGHOST\` or \`PGDATABASE\` is among them. \`PGSERVICE\` and variables that would lead elsewhere or ask for other security are refused.

The password is looked for in \`praefect.database.password-file\`, \`praefect.database.passfile\`, the address (or \`PGPASSWORD\`), \`PGPASSFILE\`, \`~/.pgpass\`, and read anew for each connection. A passfile that others may read is refused.

\`sslmode\` means what it means to libpq: \`prefer\` (the default) takes TLS when offered and verifies nothing; \`require\` insists on TLS, and verifies the chain when there is a root certificate; \`verify-ca\` verifies the chain, \`verify-full\` the host's name too. \`sslrootcert=system\` takes the roots that the system trusts, and needs \`verify-full\`. Without \`sslrootcert\`, \`sslcert\`, \`sslkey\` the files \`root.crt\`, \`postgresql.crt\`, \`postgresql.key\` in \`~/.postgresql\` are used where they exist. A certificate that is named and does not exist stops the start.`;

function table(settings: readonly NamedSetting[]): readonly string[] {
  const rows = settings.map((named) => {
    const { kind, help, example } = named.setting;
    const shown = example === undefined ? '' : `<br>Example: ${code(example)}`;
    const names = `${code(named.flag)}<br>${code(named.variable)}`;
    return `| ${names} | ${kind.name} | ${defaultCell(named)} | ${cell(help)}${shown} |`;
  });
  return ['| setting | kind | default | what it does |', '| --- | --- | --- | --- |', ...rows];
}

function defaultCell(named: NamedSetting): string {
  const printed = printedDefault(named);
  if (printed === undefined) return cell(named.setting.defaultText ?? 'none');
  return code(Array.isArray(printed) ? printed.join(', ') : String(printed));
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
const code = (text: string): string => `\`${cell(text)}\``;

/** A file with every setting that a file may hold, at its example or default. */
function exampleFile(named: readonly NamedSetting[]): string {
  const lines: string[] = ['## A file with every setting', '', '```yaml'];
  let open: readonly string[] = [];
  for (const { name, setting } of named.filter(({ setting }) => setting.inFile)) {
    const keys = name.split('.');
    for (const [depth, key] of keys.slice(0, -1).entries()) {
      if (keys.slice(0, depth + 1).join('.') !== open.slice(0, depth + 1).join('.')) {
        lines.push(`${'  '.repeat(depth)}${key}:`);
      }
    }
    open = keys.slice(0, -1);
    const indent = '  '.repeat(keys.length - 1);
    const value = exampleValue(setting);
    const text = stringify({ [keys.at(-1) ?? '']: value }, { lineWidth: 0 }).trimEnd();
    lines.push(...text.split('\n').map((line) => indent + line));
  }
  return [...lines, '```'].join('\n');
}

function exampleValue({ kind, example, default: value }: NamedSetting['setting']): unknown {
  if (example === undefined) return value === undefined ? '' : kind.print(value as NonNullable<unknown>);
  if (kind.secret) return example;
  const read = kind.read({ form: 'text', text: example, origin: { source: 'default' } }, '');
  return read.ok ? kind.print(read.value) : example;
}
