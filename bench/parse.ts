/**
 * 5 MB of Gitaly's own metrics, of which a few hundred lines are wanted: this exporter's parser against
 * parse-prometheus-text-format and a plain line splitter, in the same run. `node bench/parse.ts [rounds]`

 * The text is a captured page of a real Gitaly, enlarged as by further RPCs: its lines are repeated with another
 * label. The exporter's parser gets it in chunks of 64 KiB, as from the network; the others need it in one piece.
 * Each reports how many wanted samples it found. The splitter validates nothing and handles no escapes: it shows the
 * minimum cost of reading each line. The library finds fewer samples because it merges all histograms of a family.

 * cpu: of the main thread, the reliable number on a busy machine.
 * kept: heap that the result retains after a garbage collection (run node with --expose-gc).
 */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import parsePrometheusTextFormat from 'parse-prometheus-text-format';
import { createTextParser, isTextProblem } from '../src/sources/gitaly/parser.ts';
import { wantedSamples } from '../src/sources/gitaly/versions.ts';

const rounds = Number(process.argv[2] ?? 9);
const warmUps = 3;
const goals = { cpuMs: 50, timesFaster: 4 };

const captured = gunzipSync(
  readFileSync(new URL('../test/fixtures/gitaly/19/after.gitaly-2.prom.gz', import.meta.url)),
).toString();

/** The wanted families once, the others six times: other RPCs make a real page large. */
function largePage(): Buffer {
  const families = captured.split(/(?=^# HELP )/m);
  const isWanted = (family: string): boolean =>
    [...wantedSamples].some((name) => family.includes(`\n${name}{`) || family.includes(`\n${name} `));
  return Buffer.from(
    families
      .map((family) => {
        if (isWanted(family)) return family;
        const lines = family.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
        const repeated = Array.from({ length: 5 }, (_, copy) =>
          lines.map((line) =>
            line.replace(/^(\w+)(\{)?/, `$1{copy="${copy}"${line.includes('{') ? ',' : '}'}`),
          ),
        );
        return `${family}${repeated.flat().join('\n')}${repeated.flat().length > 0 ? '\n' : ''}`;
      })
      .join(''),
  );
}

interface Contestant {
  readonly name: string;
  /** `result` keeps its data alive while the memory is measured. */
  read(page: Buffer): { readonly found: number; readonly result: unknown };
}

const ours: Contestant = {
  name: 'this exporter',
  read(page) {
    const parser = createTextParser({ wanted: wantedSamples, maxSamples: 20_000, prefixes: ['gitaly_'] });
    for (let at = 0; at < page.length; at += 65_536) parser.write(page.subarray(at, at + 65_536));
    const result = parser.end();
    assert(!isTextProblem(result));
    return { found: result.samples.length, result };
  },
};

const splitter: Contestant = {
  name: 'line splitter',
  read(page) {
    const result = page
      .toString()
      .split('\n')
      .flatMap((line) => {
        const [, name = '', labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
        return wantedSamples.has(name) ? { name, labels, value: Number(value) } : [];
      });
    return { found: result.length, result };
  },
};

const library: Contestant = {
  name: 'parse-prometheus-text-format',
  read(page) {
    const families = parsePrometheusTextFormat(page.toString());
    const names = new Set([...wantedSamples].map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    const result = families.filter(({ name }) => names.has(name));
    return { found: result.reduce((sum, { metrics }) => sum + metrics.length, 0), result };
  },
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

function measure(
  contestant: Contestant,
  page: Buffer,
): { ms: number; cpu: number; found: number; kept: number } {
  const times: number[] = [];
  const cpus: number[] = [];
  let found = 0;
  for (let round = 0; round < warmUps + rounds; round++) {
    const cpuBefore = process.threadCpuUsage();
    const start = performance.now();
    ({ found } = contestant.read(page));
    const took = performance.now() - start;
    const { user, system } = process.threadCpuUsage(cpuBefore);
    if (round < warmUps) continue;
    times.push(took);
    cpus.push((user + system) / 1000);
  }
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const held = contestant.read(page);
  globalThis.gc?.();
  const kept = process.memoryUsage().heapUsed - before;
  assert.equal(held.found, found);
  return { ms: median(times), cpu: median(cpus), found, kept: globalThis.gc === undefined ? NaN : kept };
}

const page = largePage();
const lines = page.toString().split('\n').length;
console.log(`${(page.length / 1e6).toFixed(2)} MB, ${lines} lines, medians of ${rounds}, ms`);
console.log(
  `${''.padEnd(30)}${['wall', 'cpu', 'ratio', 'found', 'kept'].map((head) => head.padStart(10)).join('')}`,
);
const results = [ours, splitter, library].map((contestant) => ({ contestant, ...measure(contestant, page) }));
const [first] = results;
for (const { contestant, ms, cpu, found, kept } of results) {
  const cells = [ms.toFixed(1), cpu.toFixed(1), `x${(cpu / (first?.cpu ?? NaN)).toFixed(1)}`, String(found)];
  const keptText = Number.isNaN(kept) ? '-' : `${(kept / 1024).toFixed(0)} KiB`;
  console.log(
    `${contestant.name.padEnd(30)}${[...cells, keptText].map((cell) => cell.padStart(10)).join('')}`,
  );
}
const theirs = results.find(({ contestant }) => contestant === library);
const timesFaster = (theirs?.cpu ?? NaN) / (first?.cpu ?? NaN);
const met = (first?.cpu ?? NaN) <= goals.cpuMs && timesFaster >= goals.timesFaster;
console.log(
  `goal: ${goals.cpuMs} ms of the main thread, ${goals.timesFaster} times faster than the library: ${met ? 'met' : 'MISSED'}`,
);
process.exitCode = met ? 0 : 1;
