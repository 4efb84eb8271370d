/** The runbooks as pages of the exporter. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { alertGroups } from '../../alerts/index.ts';
import { readRunbooks } from '../../src/lib/package-folder.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { type Folder, makeFolder } from './support/folder.ts';
import { basic, send, withServer } from './support/harness.ts';

const hostile = `# Title <script>alert(1)</script>

<img src=x onerror=alert(1)> text <b>bold</b>

<script>alert(2)</script>

[other](PraefectQuorumLost.md) [web](https://docs.example.com/a?b=1) [bad](javascript:alert(3)) ![pic](https://evil.example/x.png)
[up](../../etc/passwd.md) [data](data:text/html,x)

| a | b |
| --- | --- |
| \`kubectl <x>\` | y |
`;

const runbooks = async () => new Map([['Hostile', hostile]]);

describe('the runbooks', () => {
  test('have a page for every alert, with its sections and links that lead to other pages', async () => {
    await withServer({ runbooks: readRunbooks }, async ({ url }) => {
      const names = alertGroups(defaultMonitoringSettings).flatMap(({ alerts }) =>
        alerts.map(({ name }) => name),
      );
      const index = await send(`${url}/runbooks/`);
      for (const name of new Set(names)) {
        expect(index.body).toContain(`<a href="${name}.md">${name}</a>`);
        const { body, headers, status } = await send(`${url}/runbooks/${name}.md`);
        expect({ name, status, type: headers['content-type'] }).toEqual({
          name,
          status: 200,
          type: 'text/html; charset=utf-8',
        });
        expect(body).toContain('<h2>Mitigation</h2>');
        expect(body).not.toContain('&lt;!--');
        for (const [, target] of body.matchAll(/href="([\w-]+\.md)"/g))
          expect((await send(`${url}/runbooks/${target}`)).status).toBe(200);
      }
    });
  }, 60_000);

  test('are found without .md, and the index redirects to its folder by a relative path', async () => {
    await withServer({ runbooks }, async ({ url }) => {
      expect((await send(`${url}/runbooks/Hostile`)).status).toBe(200);
      const redirect = await send(`${url}/runbooks`);
      expect([redirect.status, redirect.headers.location]).toEqual([308, 'runbooks/']);
      expect((await send(`${url}/runbooks/Hostile.md`, { method: 'HEAD' })).body).toBe('');
    });
  });

  test('contain no HTML of their text, no script, no image and no link to elsewhere than the web', async () => {
    await withServer({ runbooks }, async ({ url }) => {
      const { body, headers } = await send(`${url}/runbooks/Hostile.md`);
      const content = body.slice(body.indexOf('<main'));
      expect(content).not.toMatch(/<script|<img|onerror=|<b>|javascript:|data:text|passwd|evil\.example/);
      expect(content).toContain('<a href="PraefectQuorumLost.md">other</a>');
      expect(content).toContain('<a href="https://docs.example.com/a?b=1">web</a>');
      expect(content).toContain('<code>kubectl &lt;x&gt;</code>');
      expect(headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-/);
    });
  });

  test.each([
    'Nothing',
    '..%2f..%2fpackage.json',
    '%2e%2e/package.json',
    'constructor',
    '__proto__.md',
    'Hostile.md.md',
  ])('there is none named %s', async (name) => {
    await withServer({ runbooks }, async ({ url }) => {
      const { body, status } = await send(`${url}/runbooks/${name}`);
      expect(status).toBe(404);
      expect(body).not.toContain('gitaly-exporter"');
    });
  });

  test('are read again after a failure, which is an internal error and nothing more', async () => {
    let isBroken = true;
    const read = async () => {
      if (isBroken) throw new Error('EACCES SENTINEL');
      return runbooks();
    };
    await withServer({ runbooks: read }, async ({ url }) => {
      const failed = await send(`${url}/runbooks/Hostile.md`);
      expect([failed.status, failed.body]).toEqual([500, 'Internal error; see the exporter log.\n']);
      isBroken = false;
      expect((await send(`${url}/runbooks/Hostile.md`)).status).toBe(200);
    });
  });
});

describe('with users configured', () => {
  let folder: Folder;
  beforeAll(() => {
    folder = makeFolder();
  });
  afterAll(() => folder.remove());

  test('they need credentials like the page', async () => {
    const webConfigFile = folder.write(
      'users.yml',
      `basic_auth_users:\n  alice: ${bcrypt.hashSync('correct', 4)}\n`,
    );
    await withServer({ runbooks, webConfigFile }, async ({ url }) => {
      for (const path of ['/runbooks/', '/runbooks/Hostile.md']) {
        expect((await send(`${url}${path}`)).status).toBe(401);
        expect((await send(`${url}${path}`, { headers: basic('alice', 'correct') })).status).toBe(200);
      }
    });
  });
});
