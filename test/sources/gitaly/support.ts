/** Metrics pages, targets and blocks for the tests of Gitaly's metrics. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expositionText } from '../../../src/metrics/exposition.ts';
import type { Block } from '../../../src/metrics/samples.ts';
import { createTextParser, isTextProblem, type TextPage } from '../../../src/sources/gitaly/parser.ts';
import type { TargetAccess } from '../../../src/sources/gitaly/target.ts';
import { gitalyPrefix, praefectPrefix, wantedSamples } from '../../../src/sources/gitaly/versions.ts';

/** The system's authorities, no certificate, no credentials. */
export const anonymousAccess: TargetAccess = Object.freeze({
  tls: Object.freeze({}),
  credentialsFile: undefined,
});

export const fixtures = join(import.meta.dirname, '../../fixtures/gitaly');

/** The bytes of `NAME.prom` or `NAME.prom.gz`. */
export function pageBytes(name: string): Buffer {
  const file = join(fixtures, `${name}.prom`);
  return existsSync(file) ? readFileSync(file) : gunzipSync(readFileSync(`${file}.gz`));
}

/** The page as the collector parses it; throws on an invalid page. */
export function readText(bytes: Uint8Array): TextPage {
  const parser = createTextParser({
    wanted: wantedSamples,
    maxSamples: 20_000,
    prefixes: [gitalyPrefix, praefectPrefix],
  });
  parser.write(bytes);
  const page = parser.end();
  if (isTextProblem(page)) throw new Error(page.message);
  return page;
}

/** The sample lines of a block. */
export const samplesOfBlock = (block: Block): string[] =>
  expositionText([block])
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
