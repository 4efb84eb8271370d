/**
 * Everything that an installation without npm needs, in one folder: the bundle, and next to it what its commands and
 * messages refer to. The image, the deb and rpm packages, and the gate are made of it.
 *
 *   npm run bundle && node release/stage.ts FOLDER [--arch x64]
 */
import { cp, mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');

/** Decisions, images and the tests of alert rules are for readers of the repository. */
const included = ['alerts', 'dashboards', 'docs', 'deploy', 'CHANGELOG.md', 'LICENSE'] as const;

const isIncluded = (path: string): boolean =>
  !/\.ts$|\/docs\/(decisions|images)$|\/alerts\/(?!runbooks$)[^./]+$/.test(path);

/**
 * @param folder emptied first
 * @param arch whose native code is included, as in process.arch
 */
export async function stage(folder: string, arch: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await cp(join(root, 'bundle'), folder, {
    recursive: true,
    filter: (source) => !/\/prebuilds\/./.test(source) || source.includes(`/prebuilds/linux-${arch}`),
  });
  for (const path of included)
    await cp(join(root, path), join(folder, path), { recursive: true, filter: isIncluded });
  await writeFile(join(folder, 'package.json'), await manifest());
  await setTimes(folder, sourceDate());
}

/** What the program reads from its package.json: name and version, and that its files are ES modules. */
async function manifest(): Promise<string> {
  const found = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
  const { name, version, description, license, engines } = found;
  return `${JSON.stringify({ name, version, description, license, type: 'module', engines }, null, 2)}\n`;
}

/** https://reproducible-builds.org/specs/source-date-epoch/ */
const sourceDate = (): Date => new Date(Number(process.env['SOURCE_DATE_EPOCH'] ?? Date.now() / 1000) * 1000);

async function setTimes(folder: string, date: Date): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    await utimes(join(entry.parentPath, entry.name), date, date);
  await utimes(folder, date, date);
}

if (import.meta.main) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { arch: { type: 'string', default: process.arch } },
  });
  const [folder] = positionals;
  if (folder === undefined) throw new Error('name the folder to write to: node release/stage.ts FOLDER');
  await stage(folder, values.arch);
}
