/**
 * What is true outside the database: which Gitalys run, what their disks hold, which links are cut. The Praefects
 * find out only by asking, as in life; the incidents change it.
 */
import type { Topology } from './topology.ts';
import { storagesOf } from './topology.ts';

export interface Gitaly {
  /** `stopped`: SIGSTOP; its sockets accept and nothing answers. `dead`: connections are refused. */
  process: 'running' | 'stopped' | 'dead';
  /** How it answers ReplicateRepository. It answers health checks all the same. */
  replication: 'works' | 'slow' | 'hangs' | 'refuses';
  /** Whether it votes in time on the reference transactions of writes. */
  votes: boolean;
  /** Repositories in which a killed Git left refs/heads/main.lock. */
  readonly lockedReferences: Set<number>;
  /** Repositories that are gone from its disk. */
  readonly missing: Set<number>;
}

export interface World {
  gitaly(storage: string): Gitaly;
  /** No way from that Praefect to that storage, although both run. */
  cutLink(praefect: string, storage: string): void;
  mendLink(praefect: string, storage: string): void;
  /** What a request from that Praefect to that storage meets. */
  contact(praefect: string, storage: string): 'answers' | 'refuses' | 'hangs';
  /** Repositories to which an incident does something: no other one may choose them. */
  readonly chosen: Set<number>;
}

export function createWorld(topology: Topology): World {
  const gitalys = new Map<string, Gitaly>(
    storagesOf(topology).map((storage) => [
      storage,
      {
        process: 'running',
        replication: 'works',
        votes: true,
        lockedReferences: new Set(),
        missing: new Set(),
      },
    ]),
  );
  const cut = new Set<string>();
  const link = (praefect: string, storage: string): string => `${praefect} ${storage}`;

  function gitaly(storage: string): Gitaly {
    const found = gitalys.get(storage);
    if (found === undefined) throw new RangeError(`no Gitaly ${storage}`);
    return found;
  }

  return {
    gitaly,
    chosen: new Set(),
    cutLink: (praefect, storage) => {
      cut.add(link(praefect, storage));
    },
    mendLink: (praefect, storage) => {
      cut.delete(link(praefect, storage));
    },
    contact(praefect, storage) {
      if (cut.has(link(praefect, storage))) return 'refuses';
      const { process } = gitaly(storage);
      return process === 'running' ? 'answers' : process === 'stopped' ? 'hangs' : 'refuses';
    },
  };
}
