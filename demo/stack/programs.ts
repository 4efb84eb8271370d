/**
 * Prometheus, Alertmanager and Grafana: which of them are installed, how to start them, and how to install the
 * others.
 */
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import type { Environment } from '../../src/config/system.ts';
import type { Addresses } from './configuration.ts';

export interface StackProgram {
  readonly name: 'prometheus' | 'alertmanager' | 'grafana';
  /** Its name in the text printed at the start. */
  readonly title: string;
  /** Its command names, in order; the first one on the PATH is used. */
  readonly commands: readonly string[];
  readonly defaultPort: number;
  /** How to install it. */
  readonly missing: string;
  /** Responds with 2xx when it is ready. */
  readonly readyPath: string;
  /** Path of the page to open. */
  readonly page: string;
  start(context: StartContext): Promise<{
    readonly args: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  }>;
}

export interface StartContext {
  /** The program's file. */
  readonly file: string;
  /** The address of each, as `127.0.0.1:9090`. */
  readonly addresses: Addresses;
  /** With the configuration files. */
  readonly folder: string;
  readonly exists: (path: string) => Promise<boolean>;
}

export const stackPrograms: readonly StackProgram[] = [
  {
    name: 'alertmanager',
    title: 'Alertmanager',
    commands: ['alertmanager', 'prometheus-alertmanager'],
    defaultPort: 9093,
    readyPath: '/-/ready',
    page: '/',
    missing:
      'apt install prometheus-alertmanager, brew install alertmanager, or https://prometheus.io/download/: without it alerts fire in Prometheus only',
    start: async ({ addresses, folder }) => ({
      args: [
        `--config.file=${join(folder, 'alertmanager.yml')}`,
        `--storage.path=${join(folder, 'alertmanager')}`,
        `--web.listen-address=${addresses.alertmanager}`,
        // No cluster: no second port.
        '--cluster.listen-address=',
      ],
    }),
  },
  {
    name: 'prometheus',
    title: 'Prometheus',
    commands: ['prometheus'],
    defaultPort: 9090,
    readyPath: '/-/ready',
    page: '/',
    missing:
      'apt install prometheus, brew install prometheus, or https://prometheus.io/download/ (2.42 or later)',
    start: async ({ addresses, folder }) => ({
      args: [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'prometheus')}`,
        `--web.listen-address=${addresses.prometheus}`,
      ],
    }),
  },
  {
    name: 'grafana',
    title: 'Grafana',
    commands: ['grafana', 'grafana-server'],
    defaultPort: 3000,
    readyPath: '/api/health',
    // A new demo fills little of the six hours that the overview shows by itself.
    page: '/?from=now-15m&to=now',
    missing:
      'https://grafana.com/grafana/download (10.4 or later): unpack it and put its bin folder on the PATH',
    async start({ file, addresses, folder, exists }) {
      // The archive has bin/ next to conf/; packages have the rest below /usr/share.
      const unpacked = dirname(dirname(await realpath(file)));
      const home = (await exists(join(unpacked, 'conf', 'defaults.ini'))) ? unpacked : '/usr/share/grafana';
      const [host = '', port = ''] = addresses.grafana.split(':');
      return {
        args: [...(file.endsWith('grafana-server') ? [] : ['server']), `--homepath=${home}`],
        env: {
          GF_SERVER_HTTP_ADDR: host,
          GF_SERVER_HTTP_PORT: port,
          GF_PATHS_DATA: join(folder, 'grafana'),
          GF_PATHS_LOGS: join(folder, 'grafana', 'log'),
          GF_PATHS_PLUGINS: join(folder, 'grafana', 'plugins'),
          GF_PATHS_PROVISIONING: join(folder, 'provisioning'),
        },
      };
    },
  },
];

/** The file of the first command that is on the PATH; undefined without one. */
export async function onPath(commands: readonly string[], env: Environment): Promise<string | undefined> {
  for (const command of commands)
    for (const folder of (env['PATH'] ?? '').split(delimiter)) {
      const file = join(folder, command);
      if (folder !== '' && (await isExecutable(file))) return file;
    }
  return undefined;
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
