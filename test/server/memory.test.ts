import { describe, expect, test } from '@jest/globals';
import type { MemoryView, ServerMemoryView, StatusView } from '../../src/app/status-view.ts';
import { statusJson } from '../../src/server/api.ts';
import { renderPage } from '../../src/server/page/page.ts';
import { healthy, hostileText, now } from './support/status-fixtures.ts';

const MiB = 2 ** 20;

const server: ServerMemoryView = {
  name: 'gitlab/gl-gitaly-0',
  title: "Git's cgroups are siblings of Gitaly's container; 10 repository buckets, 2 in use",
  pod: { anon: 200 * MiB, usage: 290 * MiB, limit: 300 * MiB, readErrors: [] },
  gitaly: { anon: 40 * MiB, usage: 42 * MiB, limit: 'none', readErrors: ['memory.peak (permission)'] },
  git: { anon: 225 * MiB, limit: 250 * MiB, throttledRatio: 0.5, readErrors: [] },
  kills: [{ level: "a bucket's memory limit", processes: 3, last: now - 60_000 }],
  killedBuckets: [
    {
      text: 'Bucket 3: 3 of its processes killed.',
      link: { text: 'Its repositories', href: 'api/v1/buckets/3' },
    },
  ],
  nearLimit: [{ text: 'Bucket 4 holds 90 MiB of 100 MiB.' }],
};

const withMemory = (memory: MemoryView): StatusView => ({ ...healthy, memory });

function section(memory: MemoryView): string {
  const status = withMemory(memory);
  const page = renderPage({ status, telemetryPath: '/metrics', now });
  return page.slice(page.indexOf('<h2 id="memory"'), page.indexOf('<h2 id="collectors"'));
}

const words = (html: string): string =>
  html
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replace(/\s+/g, ' ');

describe('memory on the page', () => {
  test('is shown for each level against its limit, without page cache', () => {
    const shown = words(section({ servers: [server], notes: ['Pods are named by uid.'] }));
    expect(shown).toContain('gitlab/gl-gitaly-0');
    expect(shown).toContain('67% 200 MiB of 300 MiB 290 MiB with page cache');
    expect(shown).toContain('40 MiB no limit 42 MiB with page cache');
    expect(shown).toContain('unreadable: memory.peak (permission)');
    expect(shown).toContain('90% 225 MiB of 250 MiB');
    expect(shown).toContain('CPU-throttled in 50% of periods');
    expect(shown).toContain("3 OOM kills : a bucket's memory limit was exceeded, last");
    expect(shown).toContain('Pods are named by uid.');
  });

  test('links a bucket with OOM kills to its repositories', () => {
    expect(section({ servers: [server], notes: [] })).toContain(
      '<a href="api/v1/buckets/3">Its repositories</a>',
    );
  });

  test('shows unknown values as unknown, never as none', () => {
    const unknown: ServerMemoryView = {
      name: 'a',
      title: 'b',
      pod: { readErrors: [] },
      killedBuckets: [],
      nearLimit: [],
    };
    const shown = words(section({ servers: [unknown], notes: [] }));
    expect(shown).toContain('OOM kills: unknown');
    expect(shown).toContain('unknown');
    expect(shown).not.toContain('No OOM kill');
    expect(words(section({ servers: [], notes: [] }))).toContain('No Gitaly found on this host.');
    expect(words(section({ isUnknown: true, servers: [], notes: [] }))).toContain(
      'Whether a Gitaly runs on this host is unknown.',
    );
  });

  test('escapes names from outside', () => {
    const plain = section({ servers: [server], notes: ['note'] });
    const hostile = section({
      servers: [{ ...server, name: hostileText, title: hostileText, nearLimit: [{ text: hostileText }] }],
      notes: [hostileText],
    });
    const tags = (html: string): string[] =>
      [...html.matchAll(/<[^>]*>/g)].map(([tag]) => tag.replace(/="[^"]*"/g, '='));
    expect(tags(hostile)).toEqual(tags(plain));
  });

  test('is in the JSON with times in RFC 3339', () => {
    const status = withMemory({ servers: [server], notes: [] });
    expect(statusJson(status, now)).toMatchObject({
      memory: {
        servers: [
          {
            name: 'gitlab/gl-gitaly-0',
            kills: [{ processes: 3, last: new Date(now - 60_000).toISOString() }],
          },
        ],
      },
    });
  });
});
