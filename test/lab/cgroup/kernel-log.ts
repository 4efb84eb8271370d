/** The kernel's kills, from its log, with times of the wall clock. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export type KernelLevel = 'bucket' | 'git' | 'container' | 'pod' | 'node';

/** One run of the OOM killer: a process, or a group. */
export interface KernelIncident {
  /** Milliseconds since 1970, of its last kill. */
  at: number;
  readonly level: KernelLevel;
  /** The victim's cgroup. */
  readonly victim: string;
  readonly isGitalys: boolean;
  readonly pids: Set<string>;
  /** The first victim was killed again with its group, so that the kernel counted it twice. */
  isCountedTwice: boolean;
}

export interface KernelLog {
  incidents(): readonly KernelIncident[];
  stop(): void;
}

/** By the path of the cgroup whose limit was reached. */
function levelOf(limit: string | undefined): KernelLevel {
  if (limit === undefined || !/gitaly|pod[0-9a-f]{8}/.test(limit)) return 'node';
  if (/repos-\d+$/.test(limit)) return 'bucket';
  if (/gitaly(-\d+)?$/.test(limit)) return 'git';
  return /\.scope/.test(limit) ? 'container' : 'pod';
}

/** Relates the kernel's clock to the wall clock by a line that it writes to the log. */
export async function readKernelLog(foreignPod: string): Promise<KernelLog> {
  const incidents: KernelIncident[] = [];
  const mark = `oom-lab ${process.pid} ${Math.random()}`;
  let aheadMs: number | undefined;
  let current: KernelIncident | undefined;
  const reader = spawn('cat', ['/dev/kmsg'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let markedAt = 0;
  let isInGroup = false;
  createInterface({ input: reader.stdout }).on('line', (line) => {
    const [, microseconds = '', text = ''] = /^\d+,\d+,(\d+),[^;]*;(.*)$/.exec(line) ?? [];
    const at = Number(microseconds) / 1000;
    if (text.includes(mark)) aheadMs = markedAt - at;
    if (aheadMs === undefined) return;
    const [, limit] = /oom_memcg=([^,]+)/.exec(text) ?? [];
    const [, victim] = /task_memcg=([^,]+)/.exec(text) ?? [];
    if (text.startsWith('oom-kill:') && victim !== undefined) {
      const isGitalys =
        /gitaly/.test(victim) || (/pod[0-9a-f]{8}/.test(victim) && !victim.includes(foreignPod));
      current = {
        at: at + aheadMs,
        level: levelOf(limit),
        victim,
        isGitalys,
        pids: new Set(),
        isCountedTwice: false,
      };
      incidents.push(current);
    }
    const [, pid] = /[Kk]illed process (\d+)/.exec(text) ?? [];
    if (pid !== undefined && current !== undefined) {
      // The kernel omits reports when there are many incidents; those are of the same kind.
      if (current.pids.size > 0 && !isInGroup) {
        current = { ...current, pids: new Set(), isCountedTwice: false };
        incidents.push(current);
      }
      if (current.pids.has(pid)) current.isCountedTwice = true;
      current.pids.add(pid);
      current.at = at + aheadMs;
    }
    if (/are going to be killed due to memory.oom.group/.test(text)) isInGroup = true;
    if (/invoked oom-killer/.test(text)) isInGroup = false;
  });
  await sleep(200);
  markedAt = Date.now();
  writeFileSync('/dev/kmsg', `<6>${mark}\n`);
  while (aheadMs === undefined) await sleep(10);
  return {
    incidents: () => incidents,
    stop: () => reader.kill(),
  };
}
