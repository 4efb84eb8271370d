import { describe, expect } from '@jest/globals';
import { systemClock } from '../../src/lib/clock.ts';
import type { StatusView } from '../../src/server/status-view.ts';
import { testWith } from '../support/tools.ts';
import { type Tab, withBrowser } from './support/browser.ts';
import { makeServer, until } from './support/harness.ts';
import { demo, incident, now } from './support/status-fixtures.ts';

const test = testWith('chromium');

describe('in a browser', () => {
  test('the page works within its own policy: its button sets off an incident, it keeps up to date, and says when it is old', async () => {
    const running = new Set<string>();
    let status: StatusView = demo;
    const { server } = makeServer({
      clock: { ...systemClock, now: () => now },
      status: () => status,
      demo: {
        async start(name) {
          running.add(name);
          status = { ...incident, demo: { incidents: [{ ...demo.demo!.incidents[1]!, runningSince: now }] } };
          return { ok: true, message: '' };
        },
        end: async () => ({ ok: true, message: '' }),
      },
    });
    const started = await server.start();
    if (!started.ok) throw new Error(started.problems.join());
    const { url } = started.addresses[0]!;

    const visit = async (tab: Tab) => {
      const headline = () => tab.evaluate(`document.querySelector('#verdict')?.textContent`);
      await tab.open(url);
      expect(await headline()).toBe('Nothing is wrong');
      expect(await tab.evaluate(`getComputedStyle(document.querySelector('.verdict')).borderLeftWidth`)).toBe(
        '6px',
      );
      for (const width of [320, 390, 700, 800, 960, 1000, 1280]) {
        await tab.resize(width, 800);
        const { scrollWidth, clientWidth } = (await tab.evaluate(
          `(({ scrollWidth, clientWidth }) => ({ scrollWidth, clientWidth }))(document.documentElement)`,
        )) as Record<string, number>;
        expect({ width, scrollWidth }).toEqual({ width, scrollWidth: clientWidth });
      }

      await tab.evaluate(`document.querySelector('#incident-praefect-cut-off').click()`);
      await until(async () => (await headline()) === '4 things are wrong', 20_000);
      expect([...running]).toEqual(['praefect-cut-off']);
      expect(await tab.evaluate('location.pathname')).toBe('/');

      // What the timer does every ten seconds, now; focus stays where it was.
      await tab.evaluate(`document.querySelector('#incident-praefect-cut-off').focus()`);
      status = demo;
      await tab.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
      await until(async () => (await headline()) === 'Nothing is wrong', 20_000);
      expect(await tab.evaluate('document.activeElement.id')).toBe('incident-praefect-cut-off');
      expect(await tab.evaluate('document.title')).toBe('Nothing is wrong - gitaly-exporter');
      expect(tab.complaints).toEqual([]);

      // The exporter dies; half a minute later the page no longer looks healthy.
      await server.stop(0);
      await tab.evaluate('{ const real = Date.now; Date.now = () => real() + 31_000; }');
      await tab.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
      await until(
        async () => (await tab.evaluate(`document.getElementById('old').hidden`)) === false,
        20_000,
      );
      expect(await tab.evaluate(`document.getElementById('old').textContent`)).toMatch(
        /could not be updated for 3\d s/,
      );
      expect(await tab.evaluate(`getComputedStyle(document.querySelector('main')).filter`)).toBe(
        'grayscale(1)',
      );
    };
    await withBrowser(visit).finally(() => server.stop(0));
  }, 90_000);
});
