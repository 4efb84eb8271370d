/** gitaly_storage_info: which Gitaly serves each storage of Praefect, so that an outage of both is one page. */
import { isIP } from 'node:net';
import { unlessAborted } from '../../lib/abort.ts';
import { anyValue, gauge } from '../../metrics/metric.ts';
import { createSamples } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { type Identity, identityLabels, identityText } from '../identity.ts';
import { type KnownServer, type StorageNode, serverAt, serverNamed, storageHostOf } from './match.ts';

export const storageInfo = gauge('gitaly_storage_info', {
  help: 'Gitaly that serves a storage of Praefect, as labels; always 1.',
  details:
    'Matched by the addresses in praefect.config-file: the host or pod IP of a scraped Gitaly, the name of a pod in its headless service, or what a name resolves to. praefect.storage-server sets what the addresses do not show. A pod that is gone keeps its storage. Where no Gitaly matches, node is the host of the address.',
  origin: "Praefect's config.toml; addresses of Gitaly's metrics; praefect.storage-server",
  labels: {
    virtual_storage: anyValue,
    storage: anyValue,
    ...identityLabels,
    /** For texts: `gitlab/gl-gitaly-0`, or the node. */
    server: anyValue,
  },
});

export const storageCollectorNames: readonly string[] = ['gitaly_storages'];

interface StorageSourceOptions {
  readonly nodes: readonly StorageNode[];
  /** praefect.storage-server: storage -> pod or host. */
  readonly configured: ReadonlyMap<string, string>;
  /** The Gitalys that are scraped now. Never rejects. */
  readonly servers: (signal: AbortSignal) => Promise<readonly Omit<KnownServer, 'addresses'>[]>;
  /** All addresses of a name. Rejects where it has none. */
  readonly resolve: (name: string) => Promise<readonly { readonly address: string }[]>;
}

/** Names that one run resolves at most. A cluster has fewer. */
const maxNames = 200;

/** Its snapshot: the Gitalys that serve a storage. */
export function createStorageCollector(options: StorageSourceOptions): Collector<readonly Identity[]> {
  const { configured, nodes } = options;
  /** Storage -> its Gitaly when it was last found. A pod that is not there has no address. */
  const found = new Map<StorageNode, Identity>();

  async function addressesOf(names: readonly string[], signal: AbortSignal) {
    const wanted = [...new Set(names)].filter((name) => name !== '' && isIP(name) === 0).slice(0, maxNames);
    const resolved = await Promise.all(
      wanted.map(async (name): Promise<readonly [string, readonly string[]]> => {
        const addresses = await unlessAborted(
          options.resolve(name).catch(() => []),
          signal,
        );
        return [name, (addresses ?? []).map(({ address }) => address)];
      }),
    );
    const byName = new Map(resolved);
    return (name: string): readonly string[] => (isIP(name) === 0 ? (byName.get(name) ?? []) : [name]);
  }

  return {
    name: 'gitaly_storages',
    title: "Gitaly servers of Praefect's storages",
    metrics: [storageInfo],
    schedule: { kind: 'interval', everyMs: 30_000, timeoutMs: 10_000, maxAgeMs: 300_000 },
    async collect({ signal }) {
      const known = await options.servers(signal);
      const hosts = nodes.map(({ address }) => storageHostOf(address) ?? '');
      const addresses = await addressesOf([...hosts, ...known.map(({ host }) => host)], signal);
      const servers = known.map((server) => ({ ...server, addresses: addresses(server.host) }));
      const samples = createSamples();
      for (const [index, node] of nodes.entries()) {
        const host = hosts[index] ?? '';
        const name = configured.get(node.storage);
        const identity =
          name === undefined
            ? (serverAt(host, addresses(host), servers) ?? found.get(node))
            : serverNamed(name, servers);
        if (identity !== undefined) found.set(node, identity);
        const shown = identity ?? { namespace: '', pod: '', node: host };
        samples.set(
          storageInfo,
          {
            virtual_storage: node.virtualStorage,
            storage: node.storage,
            ...shown,
            server: identityText(shown),
          },
          1,
        );
      }
      return { kind: 'data', block: { families: samples.families() }, snapshot: [...found.values()] };
    },
  };
}
