import { builtinModules, createRequire } from 'node:module';
import type { Plugin } from 'esbuild';

const names = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

/** TLS, which a plain configuration never uses (10 ms, 1 MB): loaded at the first use of an export. */
const lazy = new Set(['node:https', 'node:tls']);

const lazyExports = (path: string): string =>
  Object.keys(createRequire(import.meta.url)(path) as object)
    .map((name) => JSON.stringify(name))
    .map(
      (name) =>
        `Object.defineProperty(exports, ${name}, { enumerable: true, get: () => require('${path}')[${name}] });`,
    )
    .join('\n');

/**
 * Node's own modules through `require`. An `import` reads every export of the module, among them getters that load
 * more: of node:http the client of fetch (20 ms), of node:fs the streams.
 */
export const requiredBuiltins: Plugin = {
  name: 'required-builtins',
  setup(build) {
    build.onResolve({ filter: /^(node:)?[a-z_/]+$/ }, ({ path, kind, importer, namespace }) => {
      const name = path.startsWith('node:') ? path : `node:${path}`;
      if (namespace === 'required-builtin' || !names.has(path)) return undefined;
      if (kind !== 'import-statement' && !lazy.has(name)) return undefined;
      // One per importer, so that they are not chunks of their own.
      return { path: name, namespace: 'required-builtin', suffix: `?${importer}` };
    });
    build.onLoad({ filter: /.*/, namespace: 'required-builtin' }, ({ path }) => ({
      contents: lazy.has(path) ? lazyExports(path) : `module.exports = require(${JSON.stringify(path)})`,
      loader: 'js',
    }));
  },
};
