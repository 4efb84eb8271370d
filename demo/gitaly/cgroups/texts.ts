/** The files of a cgroup as a kernel 6.12 writes them. Pure; lines and their order as on a real one. */

export const keyedLines = (values: Readonly<Record<string, number>>): string =>
  Object.entries(values)
    .map(([key, value]) => `${key} ${Math.round(value)}\n`)
    .join('');

export const limitLine = (limit: number | undefined): string => `${limit ?? 'max'}\n`;

/** Quota and period in microseconds. */
export const cpuMax = (cores: number | undefined): string =>
  `${cores === undefined ? 'max' : Math.round(cores * 100_000)} 100000\n`;

/** Totals in seconds. The averages are left at 0: nobody here reads them. */
export function pressureLines({ some, full }: { readonly some: number; readonly full: number }): string {
  const line = (kind: string, seconds: number): string =>
    `${kind} avg10=0.00 avg60=0.00 avg300=0.00 total=${Math.round(seconds * 1e6)}\n`;
  return line('some', some) + line('full', full);
}

export interface MemoryStat {
  /** Bytes. */
  readonly anon: number;
  readonly file: number;
  readonly kernel: number;
  /** Pages that were looked at when memory was short. */
  readonly scanned: number;
}

const keysAfterFile =
  'kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem zswap zswapped file_mapped file_dirty file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable slab workingset_refault_anon workingset_refault_file workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file workingset_nodereclaim pgdemote_kswapd pgdemote_direct pgdemote_khugepaged pgpromote_success pgscan pgsteal pgscan_kswapd pgscan_direct pgscan_khugepaged pgsteal_kswapd pgsteal_direct pgsteal_khugepaged pgfault pgmajfault pgrefill pgactivate pgdeactivate pglazyfree pglazyfreed swpin_zero swpout_zero zswpin zswpout zswpwb thp_fault_alloc thp_collapse_alloc thp_swpout thp_swpout_fallback numa_pages_migrated numa_pte_updates numa_hint_faults'.split(
    ' ',
  );
const zeros: Readonly<Record<string, number>> = Object.fromEntries(keysAfterFile.map((key) => [key, 0]));

export function memoryStat({ anon, file, kernel, scanned }: MemoryStat): string {
  const inactiveFile = file * 0.8;
  return keyedLines({
    anon,
    file,
    ...zeros,
    kernel,
    slab: kernel,
    slab_reclaimable: kernel,
    active_anon: anon,
    inactive_file: inactiveFile,
    active_file: file - inactiveFile,
    ...{ pgscan: scanned, pgscan_direct: scanned, pgsteal: scanned, pgsteal_direct: scanned },
    pgfault: (anon + file) / 4096,
  });
}
