/** The npm packages whose code is in a bundle, and their licenses. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression; `unknown` when package.json has none. */
  readonly license: string;
  /** The package's license and notice files; empty when it has none. */
  readonly texts: readonly string[];
}

/**
 * @param root folder that has node_modules
 * @param inputs paths of source files
 * @returns sorted by name and version
 */
export async function bundledPackages(
  root: string,
  inputs: readonly string[],
): Promise<readonly BundledPackage[]> {
  const folders = new Set(inputs.flatMap((input) => packageFolderOf(input) ?? []));
  const packages = await Promise.all([...folders].map((folder) => readPackage(join(root, folder))));
  const byId = new Map(packages.map((found) => [`${found.name}@${found.version}`, found]));
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, found]) => found);
}

/** `node_modules/pg` of `node_modules/pg/lib/client.js`, with scopes and nested folders. */
function packageFolderOf(input: string): string | undefined {
  const match = /^(?!required-builtin:)(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
  return match?.[1];
}

async function readPackage(folder: string): Promise<BundledPackage> {
  const found = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>;
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file)).sort();
  return {
    name: String(found['name']),
    version: String(found['version']).replace(/^v/, ''),
    license: typeof found['license'] === 'string' ? found['license'] : 'unknown',
    texts: await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8'))),
  };
}

const rule = '-'.repeat(80);

/** One file for all packages, as their licenses require for copies of their code. */
export const licenseTexts = (packages: readonly BundledPackage[]): string =>
  packages
    .map(
      ({ name, version, license, texts }) =>
        `${rule}\n${name} ${version} (${license})\n${rule}\n\n${texts.map((text) => text.trim()).join('\n\n') || `License: ${license}`}\n`,
    )
    .join('\n');
