/** A headless Chromium, driven by its DevTools protocol over Node's own WebSocket. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.ts';

export interface Tab {
  open(url: string): Promise<void>;
  resize(width: number, height: number): Promise<void>;
  /** From the next navigation on, the page's own script does not run; `evaluate` still does. */
  disableScript(): Promise<void>;
  /** The value of a JavaScript expression in the page; a promise is awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** The visible part of the page, as PNG. */
  screenshot(): Promise<Buffer>;
  /** Errors in the page's console: policy violations, failed requests, exceptions. */
  readonly errors: readonly string[];
}

const flags = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--remote-debugging-port=0'],
];

export async function withBrowser(body: (tab: Tab) => Promise<void>): Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), 'gitaly-exporter-chromium-'));
  const browser = spawn('chromium', [...flags, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: 'ignore',
  });
  const exited = new Promise((resolve) => browser.once('exit', resolve));
  try {
    const portFile = join(profile, 'DevToolsActivePort');
    await until(() => existsSync(portFile) && readFileSync(portFile, 'utf8').includes('\n'), 20_000);
    const port = readFileSync(portFile, 'utf8').split('\n')[0];
    const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    await body(await attach(targets.find(({ type }) => type === 'page')!.webSocketDebuggerUrl));
  } finally {
    browser.kill('SIGKILL');
    await exited;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function attach(url: string): Promise<Tab> {
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  const pending = new Map<number, (result: Record<string, unknown>) => void>();
  const errors: string[] = [];
  let loads = 0;
  let last = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, method, params, result } = JSON.parse(String(data));
    if (id !== undefined) pending.get(id)?.(result ?? {});
    if (method === 'Page.loadEventFired') loads += 1;
    if (method === 'Log.entryAdded' && params.entry.level === 'error') errors.push(params.entry.text);
    if (method === 'Runtime.exceptionThrown') errors.push(params.exceptionDetails.text);
  });
  const call = (method: string, params: object = {}): Promise<Record<string, unknown>> =>
    new Promise((resolve) => {
      last += 1;
      pending.set(last, resolve);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  for (const domain of ['Page', 'Log', 'Runtime']) await call(`${domain}.enable`);
  return {
    errors,
    async open(address) {
      const before = loads;
      await call('Page.navigate', { url: address });
      await until(() => loads > before, 20_000);
    },
    async resize(width, height) {
      const metrics = { width, height, deviceScaleFactor: 1, mobile: false };
      await call('Emulation.setDeviceMetricsOverride', metrics);
    },
    async screenshot() {
      const { data } = await call('Page.captureScreenshot', { format: 'png' });
      return Buffer.from(String(data), 'base64');
    },
    async disableScript() {
      await call('Emulation.setScriptExecutionDisabled', { value: true });
    },
    async evaluate(expression) {
      const { result } = await call('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      return (result as { value?: unknown } | undefined)?.value;
    },
  };
}
