/** A tree of one Gitaly with many buckets, with files as kernel 6.12 writes them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const git = 'gitaly/gitaly-1';
export const slice = 'kubepods.slice/kubepods-pod3f1c8d2a_7b5e_4c0d_9a6f_1e2d3c4b5a69.slice';
const scope = `${slice}/cri-containerd-e7d5c3b1a9f80716253443526170f9e8d7c6b5a4938271605f4e3d2c1b0a9988.scope`;

const statKeys =
  'anon file kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem zswap zswapped file_mapped file_dirty file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable slab workingset_refault_anon workingset_refault_file workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file workingset_nodereclaim pswpin pswpout pgscan pgsteal pgscan_kswapd pgscan_direct pgscan_khugepaged pgsteal_kswapd pgsteal_direct pgsteal_khugepaged pgfault pgmajfault pgrefill pgactivate pgdeactivate pglazyfree pglazyfreed zswpin zswpout zswpwb thp_fault_alloc thp_collapse_alloc thp_swpout thp_swpout_fallback numa_pages_migrated numa_pte_updates numa_hint_faults'.split(
    ' ',
  );

function writeCgroup(folder: string, n: number): void {
  mkdirSync(folder, { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  const events = `low 0\nhigh 0\nmax ${n}\noom ${n % 7}\noom_kill ${n % 5}\noom_group_kill 0\n`;
  const pressure = `some avg10=29.90 avg60=6.29 avg300=1.37 total=${4_535_372 + n}\nfull avg10=9.14 avg60=2.16 avg300=0.49 total=${1_772_509 + n}\n`;
  write('memory.current', `${218_411_008 + n * 4096}\n`);
  write('memory.peak', `${314_572_800 + n}\n`);
  write('memory.max', n % 2 === 0 ? 'max\n' : '314572800\n');
  write('memory.events', events);
  write('memory.events.local', events);
  write('memory.stat', statKeys.map((key, at) => `${key} ${at * 48_431_104 + n}\n`).join(''));
  write(
    'cpu.stat',
    `usage_usec ${30_461_901 + n}\nuser_usec 2594710\nsystem_usec 27867191\nnice_usec 0\nnr_periods 410\nnr_throttled 12\nthrottled_usec ${n}\nnr_bursts 0\nburst_usec 0\n`,
  );
  write('cpu.max', n % 2 === 0 ? 'max 100000\n' : '150000 100000\n');
  write('cgroup.events', `populated ${n % 2}\nfrozen 0\n`);
  write('cgroup.procs', '');
  for (const resource of ['cpu', 'memory', 'io']) write(`${resource}.pressure`, pressure);
}

/** Creates the files of a cgroup v2 root in `root`. */
export function writeRoot(root: string): void {
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'cgroup.controllers'), 'cpuset cpu io memory pids\n');
}

/** A Guaranteed pod with its container, and Gitaly's cgroups as its sibling. */
export function writePod(root: string, buckets: number, pod = slice, container = scope): void {
  writeCgroup(join(root, pod), 1);
  writeCgroup(join(root, container), 2);
  writeCgroup(join(root, pod, git), 3);
  for (let n = 0; n < buckets; n++) writeCgroup(join(root, pod, git, `repos-${n}`), n);
}
