/** Links between the documents lead to a file, and to a heading that it has. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '..');
const files = globSync(['*.md', 'docs/**/*.md', 'alerts/runbooks/*.md'], { cwd: root });

/** As GitHub generates them. */
const anchors = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );

test.each(files)('the links of %s', (file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^(https?:|mailto:)/.test(link)) return [];
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? join(root, file) : join(root, dirname(file), path);
    if (!existsSync(target)) return [link];
    const hasAnchor =
      anchor === undefined || !target.endsWith('.md') || anchors(readFileSync(target, 'utf8')).has(anchor);
    return hasAnchor ? [] : [link];
  });
  expect(broken).toEqual([]);
});
