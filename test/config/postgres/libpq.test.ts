/** The same connection strings and passfiles, given to the real libpq (psql), and what it sends to a server. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { connectionParameters } from '../../../src/config/postgres/connection-string.ts';
import { passwordFromText } from '../../../src/config/postgres/passfile.ts';
import { testWith } from '../../support/tools.ts';

interface Login {
  readonly user: string | undefined;
  readonly database: string | undefined;
  readonly password: string | undefined;
}

let server: Server;
let folder: string;
let login: Login = { user: undefined, database: undefined, password: undefined };

/** A minimal PostgreSQL server: requests a cleartext password and closes the connection. */
function recordLogin(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.on('data', (data) => {
    if (data[0] === 'p'.charCodeAt(0)) {
      login = { ...login, password: data.subarray(5, -1).toString() };
      socket.destroy();
    } else {
      const fields = data.subarray(8, -2).toString().split('\0');
      const of = (name: string) => fields[fields.indexOf(name) + 1];
      login = { ...login, user: of('user'), database: of('database') };
      socket.write(Buffer.from([...Buffer.from('R'), 0, 0, 0, 8, 0, 0, 0, 3]));
    }
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'libpq-'));
  server = createServer(recordLogin).listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

const port = (): number => (server.address() as AddressInfo).port;

/** The login that libpq sends. */
async function libpq(connection: string, passfile: string): Promise<Login> {
  login = { user: undefined, database: undefined, password: undefined };
  await writeFile(join(folder, 'pgpass'), passfile, { mode: 0o600 });
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    PGPASSFILE: join(folder, 'pgpass'),
    PGUSER: 'exporter',
    PGPORT: String(port()),
    PGHOST: '127.0.0.1',
    PGGSSENCMODE: 'disable',
    PGSSLMODE: 'disable',
  };
  await once(spawn('psql', ['-w', '-d', connection, '-c', 'SELECT 1'], { env, stdio: 'ignore' }), 'close');
  return login;
}

describe('libpq parses the connection string in the same way', () => {
  for (const connection of [
    'postgres://u:p@127.0.0.1/d',
    'postgres://u:p%40%2F%3A@127.0.0.1/d%20e',
    'postgres://u:a:b@127.0.0.1/d',
    'postgresql:///d?user=u&password=p',
    'postgres://u:p@127.0.0.1/d?password=q',
    "host=127.0.0.1 user=u password='a b\\'c\\\\' dbname=d",
    'host = 127.0.0.1 user=u password=a\\ b dbname=d',
    'host=127.0.0.1 user=u dbname=d dbname=e password=a=b',
  ]) {
    testWith('psql')(connection, async () => {
      const { user, dbname, password } = connectionParameters(connection, { source: 'default' });
      expect(await libpq(connection, '')).toEqual({
        user: user?.value,
        database: dbname?.value,
        password: password?.value.reveal(),
      });
    });
  }
});

describe('libpq parses the passfile in the same way', () => {
  for (const passfile of [
    '*:*:*:*:pw',
    '127.0.0.1:*:praefect:exporter:pw',
    '127.0.0.1:1:praefect:exporter:pw',
    'x:*:*:*:first\n*:*:*:*:second\n',
    '#*:*:*:*:comment\n*:*:*:*:pw',
    '*:*:*:*:p\\:w\\\\x:ignored',
    '*:*:*:*: p w ',
    '*:*:*:*:pw\r\n',
    '127.*:*:*:*:pw',
    '\\*:*:*:*:pw',
    '127\\.0.0.1:*:*:exp\\orter:pw',
    '*:*:*:*:\n*:*:*:*:later',
    'rubbish\n\n*:*:*:*:pw\\',
  ]) {
    testWith('psql')(JSON.stringify(passfile), async () => {
      const key = { host: '127.0.0.1', port: port(), database: 'praefect', user: 'exporter' };
      const { password } = await libpq('dbname=praefect', passfile);
      expect(passwordFromText(passfile, key)?.reveal()).toBe(password);
    });
  }
});
