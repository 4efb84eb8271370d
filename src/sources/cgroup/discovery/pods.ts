/** The pods' folders below one kubepods. */
import type { Slices } from '../buckets/slices.ts';
import type { CgroupDriver } from '../tree.ts';
import { below, type Directories, type Listed } from './directories.ts';
import { podUidOf, qosClasses, qosFolderName, qosFolders } from './names.ts';
import type { Kubepods } from './places.ts';

export interface PodFolder {
  readonly uid: string;
  readonly path: string;
  readonly driver: CgroupDriver;
  /** As the path tells. */
  readonly qosClass: string;
}

/** Told of every folder that is listed. */
export type Notice = (path: string, listed: Listed) => void;

/** Undefined when it is time to give up. */
export async function listPods(
  { path, name, driver }: Kubepods,
  directories: Directories,
  slices: Slices,
  notice: Notice,
): Promise<readonly PodFolder[] | undefined> {
  const pods: PodFolder[] = [];
  // Guaranteed pods have no folder of their class; the kubelet makes the others' even when they hold none.
  const top = { path, name, qosClass: 'Guaranteed' };
  const folders = [top];
  for (const folder of folders) {
    const listed = await directories.list(folder.path, slices);
    if (listed === undefined) return undefined;
    notice(folder.path, listed);
    if (listed.kind !== 'listed') continue;
    for (const child of listed.names) {
      const uid = podUidOf(child, folder.name, driver);
      const qos = folder === top ? qosFolders.find((each) => child === qosFolderName(name, each)) : undefined;
      const place = below(folder.path, child);
      if (uid !== undefined) pods.push({ uid, path: place, driver, qosClass: folder.qosClass });
      else if (qos !== undefined) folders.push({ path: place, name: child, qosClass: qosClasses[qos] });
    }
  }
  return pods;
}
