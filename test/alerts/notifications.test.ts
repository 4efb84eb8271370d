/** The notifications in docs/alerts.md, from a real Alertmanager with the example configuration. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { alertmanagerProgram, exampleConfiguration, startAlertmanager } from '../../replay/alertmanager.ts';
import { testWith } from '../support/tools.ts';

const root = join(import.meta.dirname, '../..');

type Texts = Readonly<Record<string, string>>;

/** The first alert that a promtool scenario expects, with its texts as Prometheus renders them. */
function firstExpected(alertname: string, own: Texts) {
  const { tests } = parse(readFileSync(join(root, `alerts/tests/${alertname}.test.yaml`), 'utf8')) as {
    tests: { alert_rule_test?: { exp_alerts?: { exp_labels: Texts; exp_annotations: Texts }[] }[] }[];
  };
  const [expected] = tests
    .flatMap((each) => each.alert_rule_test ?? [])
    .flatMap((each) => each.exp_alerts ?? []);
  const runbook = `https://gitaly-exporter.corp.example/runbooks/${alertname}.md`;
  return {
    labels: { alertname, ...expected!.exp_labels, ...own },
    annotations: { ...expected!.exp_annotations, runbook_url: runbook },
  };
}

/** Receives what Alertmanager posts to Slack. */
async function slackSink() {
  const received: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { attachments } = JSON.parse(Buffer.concat(chunks).toString()) as {
        attachments: { title: string; text: string }[];
      };
      received.push(...attachments.map(({ text, title }) => `${title}\n${text.trim()}`));
      response.end('ok');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { received, url: `http://127.0.0.1:${address.port}/`, close: () => server.close() };
}

const title =
  '[{{ .Status | toUpper }}] {{ range .Alerts }}{{ .Labels.alertname }} {{ end }}({{ .GroupLabels.SortedPairs.Values | join ", " }})';
const text =
  '{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n{{ .Annotations.runbook_url }}\n{{ end }}';

testWith(alertmanagerProgram)(
  'one page for a dead Gitaly whose pod is not named like its storage, one for its OOM loop, and a ticket',
  async () => {
    const sink = await slackSink();
    const folder = mkdtempSync(join(tmpdir(), 'notifications-'));
    const file = join(folder, 'alertmanager.yml');
    const example = parse(readFileSync(exampleConfiguration, 'utf8')) as {
      route: object;
      receivers: { name: string }[];
    };
    const slack = [{ api_url: sink.url, channel: '#on-call', title, text }];
    writeFileSync(
      file,
      stringify({
        ...example,
        route: { ...example.route, group_wait: '1s' },
        receivers: example.receivers.map(({ name }) =>
          name === 'none' ? { name } : { name, slack_configs: slack },
        ),
      }),
    );
    const cluster = { cluster: 'production', namespace: 'gitlab' };
    const alertmanager = await startAlertmanager(file);
    try {
      await alertmanager.send([
        firstExpected('PraefectStorageUnhealthy', cluster),
        firstExpected('GitalyDown', {
          ...cluster,
          ...{ pod: 'gl-gitaly-0', virtual_storage: 'default', storage: 'gitaly-1' },
        }),
        firstExpected('GitalyOOMKilledRepeatedly', cluster),
        firstExpected('GitalyRequestsDroppedQueueWait', cluster),
      ]);
      const deadline = performance.now() + 60_000;
      while (sink.received.length < 3 && performance.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      await alertmanager.stop();
      sink.close();
      rmSync(folder, { recursive: true });
    }
    expect(sink.received).toHaveLength(3);
    const page = readFileSync(join(root, 'docs/alerts.md'), 'utf8');
    for (const notification of sink.received) expect(page).toContain(notification);
  },
  90_000,
);
