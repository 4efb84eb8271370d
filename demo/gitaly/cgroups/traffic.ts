/** What goes on in a Gitaly pod: Gitaly itself, and Git commands that come and go in the buckets of their repositories. */
import type { Random } from '../../random.ts';
import type { Process } from './cgroup.ts';
import type { PodCgroups } from './host.ts';
import { demoBuckets } from './pods.ts';

export interface Traffic {
  advance(seconds: number): void;
}

const mib = 2 ** 20;
/** How many buckets the demo's repositories are in at most; the rest of them is never made. */
const bucketsInUse = 24;
const commandsPerSecond = 2.5;
const meanSeconds = 2;
const meanAnon = 45 * mib;
/** Page cache that a bucket keeps of what its commands read. */
const mostCache = 0.35 * demoBuckets.each.memory;

/** @param runs whether this Gitaly runs at all; when it dies, its Git commands do as well */
export function createTraffic(cgroups: PodCgroups, random: Random, runs: () => boolean): Traffic {
  const numbers = distinct(random);
  const commands = new Map<Process, { readonly bucket: number; left: number }>();
  let pid = 1000;

  const exponential = (mean: number): number => -Math.log(1 - random.next()) * mean;

  function gitalyItself(): void {
    const { processes } = cgroups.gitaly();
    if (processes.length === 0)
      processes.push({ pid: 7, anon: 4 * mib, cores: 0 }, { pid: 8, anon: 620 * mib, cores: 0.3 });
    const gitaly = processes[1];
    if (gitaly === undefined) return;
    // Up to a GiB; what an incident has added is left alone.
    if (gitaly.anon < 1024 * mib) gitaly.anon += (random.next() - 0.47) * 6 * mib;
    gitaly.anon = Math.max(500 * mib, gitaly.anon);
    gitaly.cores = 0.2 + random.next() * 0.4;
    cgroups.gitaly().file = 180 * mib;
  }

  function begin(): void {
    // The first ones are asked for most.
    const number = numbers[Math.floor(numbers.length * random.next() ** 2.5)] ?? 0;
    const bucket = cgroups.bucket(number);
    const command = { pid: pid++, anon: 8 * mib + exponential(meanAnon), cores: 0.1 + random.next() * 0.4 };
    bucket.processes.push(command);
    bucket.file = Math.min(mostCache, bucket.file + (2 + random.next() * 12) * mib);
    commands.set(command, { bucket: number, left: exponential(meanSeconds) });
  }

  function end(command: Process, bucket: number): void {
    commands.delete(command);
    const { processes } = cgroups.bucket(bucket);
    const at = processes.indexOf(command);
    if (at >= 0) processes.splice(at, 1);
  }

  return {
    advance(seconds) {
      if (!runs()) {
        for (const [command, { bucket }] of commands) end(command, bucket);
        cgroups.gitaly().processes.splice(0);
        return;
      }
      gitalyItself();
      for (const [command, state] of commands) {
        state.left -= seconds;
        if (state.left <= 0) end(command, state.bucket);
      }
      const expected = commandsPerSecond * seconds;
      const count = Math.floor(expected) + (random.next() < expected % 1 ? 1 : 0);
      for (let i = 0; i < count; i += 1) begin();
    },
  };
}

function distinct(random: Random): readonly number[] {
  const numbers = new Set<number>();
  while (numbers.size < bucketsInUse) numbers.add(random.below(demoBuckets.count));
  return [...numbers];
}
