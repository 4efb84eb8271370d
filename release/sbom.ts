/**
 * A software bill of materials in CycloneDX: the output of `npm sbom` for the packages in the bundle. Its serial
 * number and time are omitted, so that equal sources give an equal file.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { BundledPackage } from './bundled-packages.ts';

interface Component {
  readonly name: string;
  readonly version: string;
}

interface Sbom {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly components: readonly Component[];
}

/** @throws Error when a package of the bundle is not in package-lock.json */
export async function createSbom(root: string, packages: readonly BundledPackage[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    'npm',
    ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'],
    { cwd: root, maxBuffer: 64 * 1024 ** 2 },
  );
  const { serialNumber: _, dependencies: __, ...sbom } = JSON.parse(stdout) as Sbom & Record<string, unknown>;
  const { timestamp: ___, ...metadata } = sbom.metadata;
  const components = new Map(sbom.components.map((each) => [`${each.name}@${each.version}`, each]));
  return {
    ...sbom,
    metadata,
    components: packages.map(({ name, version }) => {
      const component = components.get(`${name}@${version}`);
      if (component === undefined)
        throw new Error(`${name} ${version} is bundled and not in package-lock.json: run npm install`);
      return component;
    }),
  };
}
