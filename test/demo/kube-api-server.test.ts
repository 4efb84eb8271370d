/**
 * The demo's Kubernetes API server implements the protocol of lists and watches for the exporter's own client.
 */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createObjectStore, type ObjectStore, startKubeApiServer } from '../../demo/kubernetes/api-server.ts';

const token = 'demo-token';
let store: ObjectStore;
let server: Awaited<ReturnType<typeof startKubeApiServer>>;

const put = (name: string, app = 'gitaly'): void =>
  store.put('pods', { metadata: { name, namespace: 'gitlab', uid: name, labels: { app } } });

beforeEach(async () => {
  store = createObjectStore();
  server = await startKubeApiServer({
    ...{ store, token },
    statsSummary: (node) => (node === 'worker-1' ? { node } : undefined),
  });
});
afterEach(() => server.stop());

const get = (path: string, bearer = token, method = 'GET'): Promise<Response> =>
  fetch(server.url + path, { method, headers: { Authorization: `Bearer ${bearer}` } });

interface PodList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly { readonly metadata: { readonly name: string } }[];
}
const list = async (query: string): Promise<PodList> =>
  (await (await get(`/api/v1/pods${query}`)).json()) as PodList;

/** The first lines of a watch, as `ADDED gitaly-1`. */
async function watch(query: string, lines: number, change: () => void): Promise<readonly string[]> {
  const response = await get(`/api/v1/pods?watch=true&${query}`);
  change();
  const seen: string[] = [];
  let rest = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const parts = (rest + Buffer.from(chunk).toString()).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const { type, object } = JSON.parse(part) as { type: string; object: { metadata: { name: string } } };
      seen.push(`${type} ${object.metadata.name}`);
    }
    if (seen.length >= lines) break;
  }
  return seen;
}

test('requests without the token, writes and unknown paths are rejected', async () => {
  expect((await get('/api/v1/pods', 'wrong')).status).toBe(401);
  expect((await get('/api/v1/pods', token, 'POST')).status).toBe(405);
  expect((await get('/api/v1/secrets')).status).toBe(404);
  expect((await get('/api/v1/nodes/worker-9/proxy/stats/summary')).status).toBe(404);
  expect(await (await get('/api/v1/nodes/worker-1/proxy/stats/summary')).json()).toEqual({
    node: 'worker-1',
  });
});

test('lists are filtered by namespace, label and field, and paginated', async () => {
  for (const name of ['gitaly-1', 'gitaly-2', 'gitaly-3']) put(name);
  put('web-0', 'web');
  const first = await list('?labelSelector=app%3Dgitaly&limit=2');
  expect(first.items.map(({ metadata }) => metadata.name)).toEqual(['gitaly-1', 'gitaly-2']);
  const second = await list(
    `?labelSelector=app%3Dgitaly&limit=2&continue=${encodeURIComponent(first.metadata.continue!)}`,
  );
  expect(second.items.map(({ metadata }) => metadata.name)).toEqual(['gitaly-3']);
  expect(second.metadata.continue).toBeUndefined();
  expect((await list('?fieldSelector=metadata.name%3Dweb-0')).items).toHaveLength(1);
  expect((await (await get('/api/v1/namespaces/other/pods')).json()) as PodList).toMatchObject({ items: [] });
});

test('a watch continues from the version of a list, and a changed label ends the match', async () => {
  put('gitaly-1');
  const { metadata } = await list('');
  put('gitaly-2');
  const query = `resourceVersion=${metadata.resourceVersion}&labelSelector=app%3Dgitaly`;
  const seen = await watch(query, 4, () => {
    put('gitaly-1', 'other');
    put('gitaly-1');
    store.remove('pods', 'gitaly-2');
  });
  expect(seen).toEqual(['ADDED gitaly-2', 'DELETED gitaly-1', 'ADDED gitaly-1', 'DELETED gitaly-2']);
});

test('a watch from a version that is no longer in the log gets 410', async () => {
  put('gitaly-1');
  const { metadata } = await list('');
  for (let change = 0; change < 2100; change += 1) put('gitaly-1');
  expect((await get(`/api/v1/pods?watch=true&resourceVersion=${metadata.resourceVersion}`)).status).toBe(410);
});

test('a watch ends after its timeoutSeconds', async () => {
  const response = await get('/api/v1/pods?watch=true&timeoutSeconds=1');
  expect(await response.text()).toBe('');
});
