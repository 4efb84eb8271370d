/**
 * Preloaded into the exporter by the soak (`node --expose-gc --import`): for each message it reports what the
 * process retains after a forced garbage collection, so that garbage does not count as growth.
 */
import { readdirSync } from 'node:fs';
import v8 from 'node:v8';

export interface Probe {
  /** Before the collection: the size that an operator sees. */
  readonly rssMiB: number;
  /** The heap in use without compiled code, which grows for an hour until the optimizer has seen everything. */
  readonly objectsMiB: number;
  readonly codeMiB: number;
  /** Memory of buffers and other objects outside of the heap. */
  readonly externalMiB: number;
  readonly descriptors: number;
  readonly timers: number;
  /** Sockets, servers, requests and other active resources. */
  readonly handles: number;
}

const mebibytes = (bytes: number): number => bytes / 2 ** 20;

process.on('message', (snapshotFile: string) => {
  const rss = process.memoryUsage.rss();
  // Finalizers of the first collection release what the second one collects.
  for (let pass = 0; pass < 2; pass++) globalThis.gc?.();
  if (snapshotFile !== '') v8.writeHeapSnapshot(snapshotFile);
  const { heapUsed, external } = process.memoryUsage();
  const code = v8
    .getHeapSpaceStatistics()
    .filter(({ space_name: space }) => space.includes('code') || space.includes('trusted'))
    .reduce((sum, { space_used_size: bytes }) => sum + bytes, 0);
  const resources = process.getActiveResourcesInfo();
  const timers = resources.filter((name) => name === 'Timeout' || name === 'Immediate').length;
  process.send?.({
    rssMiB: mebibytes(rss),
    objectsMiB: mebibytes(heapUsed - code),
    codeMiB: mebibytes(code),
    externalMiB: mebibytes(external),
    descriptors: readdirSync('/proc/self/fd').length,
    timers,
    handles: resources.length - timers,
  } satisfies Probe);
});
// The channel belongs to the soak, and does not keep the process alive.
process.channel?.unref();
