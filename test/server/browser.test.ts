import { describe, expect } from '@jest/globals';
import type { StatusView } from '../../src/app/status-view.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { type Tab, withBrowser } from '../support/browser.ts';
import { testWith } from '../support/tools.ts';
import { makeServer, until } from './support/harness.ts';
import { demo, incident, now } from './support/status-fixtures.ts';

const test = testWith('chromium');

/** The incidents of the demo, of which these run. */
const withRunning = (status: StatusView, ...names: string[]): StatusView => ({
  ...status,
  demo: {
    incidents: demo.demo!.incidents.map(({ runningSince: _, ...one }) => ({
      ...one,
      ...(names.includes(one.name) ? { runningSince: now } : {}),
    })),
  },
});

/** Elements whose text is cut off, or lies outside the page. Text for screen readers only is meant to be hidden. */
const cutText = `[...document.querySelectorAll('body *')].filter((element) => {
  if (element.closest('.skip, script, style, [hidden], thead, details:not([open]) > :not(summary)')) return false;
  if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '')) return false;
  const { left, right, width } = element.getBoundingClientRect();
  const isInline = getComputedStyle(element).display === 'inline';
  return width === 0 || left < 0 || right > innerWidth || (!isInline && element.scrollWidth > element.clientWidth);
}).map((element) => element.outerHTML.slice(0, 120))`;

describe('the page in a browser', () => {
  test('works within its own policy: it starts and ends an incident, stays current, and warns when it is out of date', async () => {
    const actions: string[] = [];
    let status: StatusView = withRunning(demo);
    const { server } = makeServer({
      clock: { ...systemClock, now: () => now },
      status: () => status,
      demo: {
        async start(name) {
          if (name === 'replica-lost')
            return { ok: false, message: 'replica-lost conflicts with another one' };
          actions.push(`start ${name}`);
          status = withRunning(incident, name);
          return { ok: true, message: '' };
        },
        async end(name) {
          actions.push(`end ${name}`);
          status = withRunning(demo);
          return { ok: true, message: '' };
        },
      },
    });
    const started = await server.start();
    if (!started.ok) throw new Error(started.problems.join());
    const { url } = started.addresses[0]!;

    const visit = async (tab: Tab) => {
      const headline = () => tab.evaluate(`document.querySelector('#verdict')?.textContent`);
      const focus = () => tab.evaluate('document.activeElement.id');
      await tab.open(url);
      expect(await headline()).toBe('No problems detected');
      expect(await tab.evaluate(`getComputedStyle(document.querySelector('.verdict')).borderLeftWidth`)).toBe(
        '6px',
      );
      for (const width of [320, 390, 700, 800, 960, 1000, 1280]) {
        await tab.resize(width, 800);
        const { scrollWidth, clientWidth } = (await tab.evaluate(
          `(({ scrollWidth, clientWidth }) => ({ scrollWidth, clientWidth }))(document.documentElement)`,
        )) as Record<string, number>;
        expect({ width, scrollWidth }).toEqual({ width, scrollWidth: clientWidth });
        expect({ width, cut: await tab.evaluate(cutText) }).toEqual({ width, cut: [] });
      }
      await tab.resize(390, 800);

      // Starting an incident shows it under the verdict, in view, and its end button has the focus.
      await tab.evaluate(
        `{ const button = document.querySelector('#incident-praefect-cut-off'); button.scrollIntoView(); button.focus(); button.click(); }`,
      );
      await until(async () => (await headline()) === '4 problems detected', 20_000);
      expect(actions).toEqual(['start praefect-cut-off']);
      expect(await tab.evaluate(`document.querySelector('.verdict').nextElementSibling.innerText`)).toMatch(
        /^A Praefect is cut off/,
      );
      expect(await focus()).toBe('incident-praefect-cut-off');
      expect(await tab.evaluate('document.activeElement.firstChild.data')).toBe('End');
      expect(
        await tab.evaluate(
          `['.verdict', '.running'].every((name) => { const { top, bottom } = document.querySelector(name).getBoundingClientRect(); return top >= -1 && bottom <= innerHeight; })`,
        ),
      ).toBe(true);
      expect(await tab.evaluate('location.pathname')).toBe('/');
      expect({ cut: await tab.evaluate(cutText) }).toEqual({ cut: [] });

      // What the timer does every ten seconds, now: the focus stays.
      await tab.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
      await until(async () => (await focus()) === 'incident-praefect-cut-off', 20_000);

      await tab.evaluate('document.activeElement.click()');
      await until(async () => (await headline()) === 'No problems detected', 20_000);
      expect(actions).toEqual(['start praefect-cut-off', 'end praefect-cut-off']);
      expect(await focus()).toBe('verdict');
      expect(await tab.evaluate('document.title')).toBe('No problems detected - gitaly-exporter');

      // One that cannot start: the reason is shown, and the focus stays on its button.
      await tab.evaluate(
        `{ const button = document.querySelector('#incident-replica-lost'); button.focus(); button.click(); }`,
      );
      await until(
        async () => (await tab.evaluate(`document.getElementById('notice').hidden`)) === false,
        20_000,
      );
      expect(await tab.evaluate(`document.getElementById('notice').textContent`)).toContain('conflicts with');
      await until(async () => (await focus()) === 'incident-replica-lost', 20_000);
      expect(tab.errors).toEqual([expect.stringContaining('409')]);

      // After the exporter has died, the page no longer shows healthy within half a minute.
      await server.stop(0);
      await tab.evaluate('{ const real = Date.now; Date.now = () => real() + 31_000; }');
      await tab.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
      await until(
        async () => (await tab.evaluate(`document.getElementById('old').hidden`)) === false,
        20_000,
      );
      expect(await tab.evaluate(`document.getElementById('old').textContent`)).toMatch(
        /has not been updated for 3\d s/,
      );
      expect(await tab.evaluate(`getComputedStyle(document.querySelector('main')).filter`)).toBe(
        'grayscale(1)',
      );
    };
    await withBrowser(visit).finally(() => server.stop(0));
  }, 90_000);

  test('starts and ends an incident without script', async () => {
    let status: StatusView = withRunning(demo);
    const { server } = makeServer({
      clock: { ...systemClock, now: () => now },
      status: () => status,
      demo: {
        async start(name) {
          status = withRunning(incident, name);
          return { ok: true, message: '' };
        },
        async end() {
          status = withRunning(demo);
          return { ok: true, message: '' };
        },
      },
    });
    const started = await server.start();
    if (!started.ok) throw new Error(started.problems.join());
    const visit = async (tab: Tab) => {
      await tab.disableScript();
      await tab.open(started.addresses[0]!.url);
      const click = async () => {
        await tab.evaluate(`document.querySelector('#incident-praefect-cut-off').click()`);
      };
      await click();
      await until(
        async () =>
          (await tab.evaluate('document.activeElement?.textContent')) === 'End: A Praefect is cut off',
        20_000,
      );
      expect(await tab.evaluate('location.hash')).toBe('#incident-praefect-cut-off');
      await click();
      // The address changes before the page is parsed.
      const verdict = `location.hash + ': ' + document.querySelector('#verdict').textContent`;
      await until(async () => (await tab.evaluate(verdict)) === '#verdict: No problems detected', 20_000);
    };
    await withBrowser(visit).finally(() => server.stop(0));
  }, 90_000);
});
