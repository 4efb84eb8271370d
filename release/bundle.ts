/**
 * `npm run bundle`: the program and its packages as a few files in bundle/, which need Node.js and nothing else.
 *
 *   bundle/bin/gitaly-exporter.js       the executable
 *   bundle/lib/*.js, *.js.map           chunks; what only some commands or settings need is loaded by them
 *   bundle/lib/prebuilds/               bcrypt's native code, by platform
 *   bundle/THIRD-PARTY-LICENSES.txt     of every package in the chunks
 *   bundle/sbom.cdx.json                the same packages with versions and checksums, in CycloneDX
 */
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundledPackages, licenseTexts } from './bundled-packages.ts';
import { requiredBuiltins } from './node-builtins.ts';
import { createSbom } from './sbom.ts';

const root = join(import.meta.dirname, '..');

/** Packages of CommonJS in ES modules: they need `require`, and bcrypt finds its native code through `__dirname`. */
const commonJs = [
  "import{createRequire as createRequire_}from'node:module'",
  'const require=createRequire_(import.meta.url),__dirname=import.meta.dirname',
].join(';');

/**
 * Tables of character sets and file types that express depends on: a third of all code that would load at the start.
 */
const unused = {
  'body-parser': './release/unused/body-parser.cjs',
  'mime-db': './release/unused/mime-db.cjs',
};

/** @param folder emptied first */
export async function createBundle(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { 'bin/gitaly-exporter': 'bin/gitaly-exporter.ts' },
    outdir: folder,
    chunkNames: 'lib/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node22.19',
    // Names are kept, so that stack traces are readable without the source maps.
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    plugins: [requiredBuiltins],
    alias: unused,
    banner: { js: commonJs },
    define: { 'process.env.NODE_ENV': '"production"' },
    metafile: true,
    logLevel: 'warning',
  });
  await cp(join(root, 'node_modules', 'bcrypt', 'prebuilds'), join(folder, 'lib', 'prebuilds'), {
    recursive: true,
    filter: (source) => !source.includes('win32'),
  });
  const packages = await bundledPackages(root, Object.keys(metafile.inputs));
  await writeFile(join(folder, 'THIRD-PARTY-LICENSES.txt'), licenseTexts(packages));
  await writeFile(
    join(folder, 'sbom.cdx.json'),
    `${JSON.stringify(await createSbom(root, packages), null, 2)}\n`,
  );
}

if (import.meta.main) await createBundle(join(root, 'bundle'));
