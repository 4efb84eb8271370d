/**
 * Opens the dashboards in a running Grafana, 1440 x 900 as most laptops, and keeps a picture of each first screen. Prints
 * errors of the page and its queries, cut titles and cells, tables wider than their panel, and panels that read "No data":
 *
 *     node bench/grafana.ts http://127.0.0.1:3000 /tmp/pictures 'from=now-1h&to=now&theme=light' [overview ...]
 *
 * `&kiosk` in the query hides Grafana's navigation, which takes a fifth of the width. The exit code is 1 if anything is
 * wrong.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dashboards } from '../dashboards/index.ts';
import { defaultMonitoringSettings } from '../src/monitoring/settings.ts';
import { type Tab, withBrowser } from '../test/support/browser.ts';

const [grafana = '', folder = '.', query = '', ...chosen] = process.argv.slice(2);
const size = { width: 1440, height: 900 };
const limitMs = 120_000;
const pollMs = 400;

/** In the page: whether panels are there and all queries have ended; the button reads "Cancel" while they run. */
const isLoaded = `document.querySelectorAll('section[data-testid^="data-testid Panel header"]').length > 0
  && !/Cancel/.test(document.querySelector('[data-testid="data-testid RefreshPicker run button"]')?.innerText ?? 'Cancel')`;

/** In the page: what a person would notice. */
const findings = `(() => {
  const isCut = (element) => element.scrollWidth > element.clientWidth + 2;
  return [...document.querySelectorAll('section[data-testid^="data-testid Panel header"]')].flatMap((panel) => {
    const title = panel.getAttribute('data-testid').replace('data-testid Panel header ', '');
    const grid = panel.querySelector('[role="grid"]');
    const cells = [...panel.querySelectorAll('[role="gridcell"], [role="columnheader"]')].filter((cell) =>
      [cell, ...cell.querySelectorAll('*')].some(
        (part) => isCut(part) && part.innerText && getComputedStyle(part).overflow !== 'visible',
      ),
    );
    return [
      ...([...panel.querySelectorAll('h2, h2 *')].some(isCut) ? ['title is cut'] : []),
      ...cells.map((cell) => 'cell is cut: ' + cell.innerText),
      ...(grid && isCut(grid) ? ['table is wider than its panel'] : []),
      ...(/No data/.test(panel.innerText) ? ['no data'] : []),
      ...(panel.querySelector('[data-testid="data-testid Panel status error"]') ? ['a query failed'] : []),
    ].map((finding) => title + ': ' + finding);
  });
})()`;

async function loaded(tab: Tab): Promise<void> {
  const end = performance.now() + limitMs;
  // Several times in a row: some queries begin when others have ended.
  for (let idle = 0; idle < 5; idle += 1) {
    await sleep(pollMs);
    if ((await tab.evaluate(isLoaded)) !== true) idle = -1;
    if (performance.now() > end) throw new Error(`not loaded within ${limitMs / 1000} s`);
  }
}

await withBrowser(async (tab) => {
  await tab.resize(size.width, size.height);
  for (const { name, uid } of dashboards(defaultMonitoringSettings)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    const errorsBefore = tab.errors.length;
    await tab.open(`${grafana}/d/${uid}?${query}`);
    await loaded(tab);
    await writeFile(join(folder, `${name}.png`), await tab.screenshot());
    const found = [...((await tab.evaluate(findings)) as string[]), ...tab.errors.slice(errorsBefore)];
    process.stdout.write(`${name}: ${found.length === 0 ? 'as it should be' : found.join('\n  ')}\n`);
    if (found.length > 0) process.exitCode = 1;
  }
});
