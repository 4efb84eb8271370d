/**
 * GET /runbooks/ and /runbooks/{alert}.md: the runbooks of the package as HTML, for networks without a wiki. With
 * alerts.runbook-url set to it, each alert links to its page. Links between runbooks are relative and need no rewriting.
 */
import type { Request, Response } from 'express';
import { Marked } from 'marked';
import { allowInline, type HttpRoute, sendBody, sendText } from './http.ts';
import { style } from './page/assets.ts';
import { type Html, html, safeHref, toText, verbatim } from './page/html.ts';

/** Raw HTML is dropped (the runbooks have comments only), and a link leads to a web page or another runbook. */
const markdown = new Marked({
  async: false,
  renderer: {
    html: () => '',
    image: ({ text }) => toText(html`${text}`),
    link({ href, tokens }) {
      const text = verbatim(this.parser.parseInline(tokens));
      const safe = /^[\w-]+\.md$/.test(href) ? href : safeHref(href);
      return toText(safe === undefined ? text : html`<a href="${safe}">${text}</a>`);
    },
  },
});

/** The Markdown of each runbook by its name. */
export type ReadRunbooks = () => Promise<ReadonlyMap<string, string>>;

/** @param read called at the first request, and again after a failure */
export function runbookRoutes(read: ReadRunbooks): readonly HttpRoute[] {
  let runbooks: ReadonlyMap<string, string> | undefined;
  const pages = new Map<string, Buffer>();
  const all = async () => {
    runbooks ??= await read();
    return runbooks;
  };
  return [
    {
      path: '/runbooks',
      methods: ['GET'],
      async handle(request: Request, response: Response) {
        // Its links are relative to the folder.
        if (!request.path.endsWith('/'))
          return sendText(response, 308, 'The runbooks are at runbooks/.', { Location: 'runbooks/' });
        const names = [...(await all()).keys()];
        const items = names.map((name) => html`<li><a href="${name}.md">${name}</a></li>`);
        sendPage(response, document('Runbooks', html`<h1>Runbooks</h1><ul>${items}</ul>`));
      },
    },
    {
      path: '/runbooks/:name',
      methods: ['GET'],
      async handle(request, response) {
        const name = String(request.params['name']).replace(/\.md$/, '');
        const text = (await all()).get(name);
        if (text === undefined)
          return sendText(response, 404, 'There is no such runbook. /runbooks/ lists them.');
        const page = pages.get(name) ?? document(name, verbatim(markdown.parse(text) as string));
        pages.set(name, page);
        sendPage(response, page);
      },
    },
  ];
}

function sendPage(response: Response, page: Buffer): void {
  allowInline(response, style, '');
  sendBody(response, 200, 'text/html; charset=utf-8', [page]);
}

const document = (title: string, content: Html): Buffer =>
  Buffer.from(
    toText(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} - gitaly-exporter</title>
<style>${verbatim(style)}</style>
</head>
<body>
<main class="runbook">
<p class="links"><a href="../">Status</a> <a href="./">Runbooks</a></p>
${content}
</main>
</body>
</html>
`),
  );
