import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { StatusView } from '../../src/app/status-view.ts';
import { durationText, timeText } from '../../src/lib/format.ts';
import { statusJson } from '../../src/server/api.ts';
import { style } from '../../src/server/page/assets.ts';
import { safeHref } from '../../src/server/page/html.ts';
import { renderPage } from '../../src/server/page/page.ts';
import { anyText } from '../support/any-text.ts';
import {
  demo,
  healthy,
  hostile,
  hostileText,
  incident,
  now,
  starting,
  withText,
} from './support/status-fixtures.ts';

const page = (status: StatusView): string => renderPage({ status, telemetryPath: '/metrics', now });

/** Without head and script, which contain nothing from outside but the title. */
const body = (html: string): string => html.slice(html.indexOf('<body>'), html.lastIndexOf('<script>'));
const text = (html: string): string =>
  body(html)
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replace(/\s+/g, ' ');

/** Every tag with its attributes' names: what text would change if it were not escaped. */
const structure = (html: string): string[] =>
  [...html.matchAll(/<[^>]*>/g)].map(([tag]) => tag.replace(/="[^"]*"/g, '='));

describe('the page', () => {
  test('states that there are no problems, and as of when', () => {
    expect(text(page(healthy))).toContain(
      'No problems detected All 7 collectors are up to date; the oldest data is 2 min 10 s old. As of 03:12:05 UTC .',
    );
    expect(text(page(healthy))).not.toContain('Next step');
  });

  test('shows each problem with its start, cause, next step, alert and runbook', () => {
    const shown = text(page(incident));
    expect(shown).toContain(
      'critical since 03:00:01 UTC , for 12 min 4 s 37 repositories of virtual storage default are unavailable ' +
        'Their only up-to-date copies are on gitaly-2, which none of 3 Praefects has reached since 03:00:01 UTC. ' +
        'Next step: Bring gitaly-2 back first. Only if it is lost for good: praefect accept-dataloss, which loses the newest writes. ' +
        'Alert: PraefectRepositoriesUnavailable (firing) · Runbook',
    );
    expect(page(incident)).toContain('<a href="https://docs.example.com/runbooks/unavailable">');
  });

  test('lists fifty problems, and the number of the others', () => {
    const [problem] = incident.problems;
    if (problem === undefined) throw new Error('an incident with a problem');
    const many = Array.from({ length: 998 }, (_, n) => ({ ...problem, title: `pod ${n} does not exist` }));
    const shown = text(page({ ...incident, problems: many }));
    expect(shown.match(/does not exist/g)).toHaveLength(50);
    expect(shown).toContain('948 more problems are in the API');
  });

  test('shows for each collector its state, data age, interval and why that is longer than configured', () => {
    const shown = text(page(incident));
    expect(shown).toContain(
      'Repositories, replicas and primaries praefect_mirror ✓ ok 41 s max 2 min 22 s 1 min 11 s slowed by the database time limit of 1% 710 ms 1,284',
    );
    expect(shown).toContain(
      'permission: may not read pg_stat_user_tables: grant pg_monitor to gitaly_exporter, as deploy/sql/grants.sql does ✕ failing',
    );
    expect(shown).toContain('timeout: no response within 5 s, three times in a row ! stale 2 min 35 s');
  });

  test('has a button that ends each running incident of the demo, and starts each other one', () => {
    const html = page(demo);
    expect(html).toContain('<form method="post" action="demo/incidents/storage-dies/end">');
    expect(html).toContain('<form method="post" action="demo/incidents/praefect-cut-off">');
    expect(page(healthy)).not.toContain('<form');
  });

  // Only `tone-ok` is green.
  test.each<[string, StatusView]>([
    ['nothing has been read yet', starting],
    ['a collector is failing', { ...healthy, collectors: [{ name: 'a', title: 'A', state: 'failed' }] }],
    ['data is stale', { ...healthy, collectors: [{ name: 'a', title: 'A', state: 'stale' }] }],
    [
      'data is stale although the collector reports ok',
      {
        ...healthy,
        collectors: [{ name: 'a', title: 'A', state: 'ok', readAt: now - 60_001, maxAgeMs: 60_000 }],
      },
    ],
    ['no collector is enabled', { ...healthy, collectors: [] }],
  ])('shows no green while %s', (_when, status) => {
    expect(body(page(status))).not.toContain('tone-ok');
  });

  test('is under 50 KB even with 40 collectors, 12 of them failing, and 200 events', () => {
    const collectors = Array.from({ length: 40 }, (_, i) => ({
      ...incident.collectors[4]!,
      name: `collector_${i}`,
      message: `${i} ${'x'.repeat(80)}`,
    }));
    const events = Array.from({ length: 200 }, (_, i) => ({ ...healthy.events[0]!, at: now - i }));
    const large = page({
      ...incident,
      collectors: collectors
        .slice(0, 12)
        .concat(collectors.slice(12).map((one) => ({ ...one, state: 'ok' as const }))),
      events,
    });
    expect(Buffer.byteLength(large)).toBeLessThan(50_000);
    expect(large).toContain('180 older events are in the API.');
  });

  test('loads nothing and has no inline event handlers', () => {
    const html = page(incident);
    expect(html).not.toMatch(/\s(src|srcset|on[a-z]+)=/);
    expect(html).not.toMatch(/<link (?!rel="icon" href="data:)/);
    expect(html).not.toMatch(/\sstyle=|@import|url\(/);
  });

  test('labels every region, cell and control for screen readers', () => {
    const html = page(incident);
    expect(html).toContain('<html lang="en">');
    for (const [, id] of html.matchAll(/aria-labelledby="([^"]+)"/g)) expect(html).toContain(`id="${id}"`);
    expect(html.match(/<td (?![^>]*(data-label|class="state"))/)).toBeNull();
    expect(html.match(/<h1/g)).toHaveLength(1);
  });

  test('has a contrast of at least 4.5 between every text and its background, in light, dark and print', () => {
    const blocks = [...style.matchAll(/:root \{([^}]*)\}/g)].map(([, block]) =>
      Object.fromEntries(
        [...(block ?? '').matchAll(/--([a-z-]+): (#[0-9a-f]+)/g)].map(([, name, value]) => [
          name,
          value ?? '',
        ]),
      ),
    );
    expect(blocks).toHaveLength(3);
    const [light] = blocks;
    for (const block of blocks) {
      const color = (name: string) => luminance((block[name] ?? light?.[name])!);
      const pairs = [
        ...['ink', 'quiet', 'link'].flatMap((ink) => ['ground', 'sheet'].map((ground) => [ink, ground])),
        ...['critical', 'warning', 'unknown', 'ok'].flatMap((tone) => [
          [tone, `${tone}-ground`],
          [tone, 'sheet'],
          ['ink', `${tone}-ground`],
        ]),
        ['button-ink', 'button'],
        ['sheet', 'critical'],
      ];
      const poor = pairs.filter(([a, b]) => contrast(color(a!), color(b!)) < 4.5);
      expect(poor).toEqual([]);
    }
  });
});

const plainText = (html: string): string => html.replace(/<[^>]*>/g, '');

test('an open maintenance window is shown with its end, on the page and in the JSON', () => {
  const status = {
    ...healthy,
    maintenanceWindows: [{ name: 'weekly', endsAt: now + 60_000 }, { name: 'rollout:gitlab/gl-gitaly' }],
  };
  expect(plainText(page(status))).toMatch(
    /Maintenance window open: weekly, until \d\d:\d\d:\d\d UTC\. The alerts that it covers are suppressed\./,
  );
  expect(plainText(page(status))).toContain('Maintenance window open: rollout:gitlab/gl-gitaly. The alerts');
  expect(statusJson(status, now)).toMatchObject({
    maintenanceWindows: [
      { name: 'weekly', endsAt: new Date(now + 60_000).toISOString() },
      { name: 'rollout:gitlab/gl-gitaly' },
    ],
  });
  expect(plainText(page({ ...healthy, maintenanceWindows: [] }))).not.toContain('Maintenance window');
});

describe('text from outside', () => {
  test('never changes the structure of the page', () => {
    const expected = structure(page(withText('x')));
    fc.assert(
      fc.property(
        fc.oneof(anyText(), fc.constantFrom(hostileText, '</style>', '</title><b>', '<!--')),
        (value) => {
          const html = page(withText(value, 'x'));
          // An empty reason and message omit their line.
          if (value !== '') expect(structure(html)).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('is shown literally, without characters that reverse its direction', () => {
    const html = page(hostile);
    expect(body(html)).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(html).toContain('\ufffdgnp.exe\ufffd');
    expect(html).not.toMatch(/\p{Bidi_Control}/u);
  });

  test.each([
    ['https://docs.example.com/a?b=c#d', true],
    ['http://localhost:3000/', true],
    ['/metrics', true],
    ['api/v1/status', true],
    ['-/ready', true],
    ['#demo', true],
    ['javascript:alert(1)', false],
    ['JavaScript:alert(1)', false],
    [' javascript:alert(1)', false],
    ['java\nscript:alert(1)', false],
    ['data:text/html,x', false],
    ['//evil.example/', false],
    ['/\\evil.example/', false],
    ['vbscript:x', false],
    ['', false],
  ])('%j as the target of a link is allowed: %s', (href, isAllowed) => {
    expect(safeHref(href) !== undefined).toBe(isAllowed);
  });
});

describe('a duration on the page', () => {
  test.each([
    [-5, '0 s'],
    [0, '0 s'],
    [420, '420 ms'],
    [1400, '1.4 s'],
    [2000, '2 s'],
    [14_900, '14 s'],
    [60_000, '1 min'],
    [725_000, '12 min 5 s'],
    [3_600_000, '1 h'],
    [11_100_000, '3 h 5 min'],
    [187_200_000, '2 d 4 h'],
    [Number.NaN, 'unknown'],
  ])('of %d ms is %s', (ms, expected) => {
    expect(durationText(ms)).toBe(expected);
  });

  test('a time of today has no date', () => {
    expect(timeText(now - 1000, now)).toBe('03:12:04 UTC');
    expect(timeText(now - 86_400_000, now)).toBe('2026-02-28 03:12:05 UTC');
    expect(timeText(Number.NaN)).toBe('unknown');
  });
});

function luminance(hex: string): number {
  const digits = hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit).join('') : hex.slice(1);
  const [r, g, b] = [0, 2, 4].map((at) => {
    const channel = Number.parseInt(digits.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const contrast = (a: number, b: number): number => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
