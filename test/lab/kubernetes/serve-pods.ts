/**
 * Serves recorded /metrics pages on the address of every running pod of Gitaly and Praefect in the lab, whose pods
 * run no processes. On loopback only.
 *
 *   node serve-pods.ts NAMESPACE      (kubectl on the PATH, KUBECONFIG set)
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';

const [namespace = 'gitlab'] = process.argv.slice(2);
const page = (name: string): Buffer =>
  gunzipSync(readFileSync(new URL(`../../fixtures/gitaly/19/${name}.prom.gz`, import.meta.url)));
const pages = { gitaly: page('after.gitaly-2'), praefect: page('after.praefect-1') };
const servers = new Map<string, Server>();

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly labels: { readonly app?: string } };
    readonly status: { readonly podIP?: string; readonly phase: string };
  }[];
}

for (;;) {
  const running = await runningPods().catch(() => undefined);
  if (running !== undefined) {
    for (const [address, component] of running) if (!servers.has(address)) serve(address, component);
    for (const [address, server] of servers) if (!running.has(address)) end(address, server);
  }
  await sleep(500);
}

async function runningPods(): Promise<ReadonlyMap<string, 'gitaly' | 'praefect'>> {
  const { stdout } = await promisify(execFile)(
    'kubectl',
    ['-n', namespace, 'get', 'pods', '-l', 'app in (gitaly,praefect)', '-o', 'json'],
    { maxBuffer: 2 ** 26 },
  );
  const { items } = JSON.parse(stdout) as PodList;
  return new Map(
    items.flatMap(({ metadata, status }) => {
      const address = status.podIP ?? '';
      const isServed = status.phase === 'Running' && address.startsWith('127.');
      return isServed ? [[address, metadata.labels.app === 'praefect' ? 'praefect' : 'gitaly']] : [];
    }),
  );
}

function serve(address: string, component: 'gitaly' | 'praefect'): void {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' });
    response.end(pages[component]);
  });
  server.on('error', () => servers.delete(address));
  server.listen(9236, address);
  servers.set(address, server);
}

function end(address: string, server: Server): void {
  servers.delete(address);
  server.close();
  server.closeAllConnections();
}
