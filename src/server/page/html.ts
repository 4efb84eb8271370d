/** HTML by template: every inserted value is escaped, unless this template made it. */

import type { LinkView } from '../../app/status-view.ts';
import { timeText } from '../../lib/format.ts';

const trusted = Symbol('trusted');

/** Only this module can make one: data from outside cannot have the symbol. */
export interface Html {
  readonly [trusted]: string;
}

type HtmlPart = Html | readonly HtmlPart[] | string | number | undefined | false;

/** Undefined and false insert nothing. Attribute values must be in double quotes. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  let text = strings[0] ?? '';
  for (const [index, part] of parts.entries()) text += render(part) + (strings[index + 1] ?? '');
  return { [trusted]: text };
}

/** For constants that escaping would break: style and script. Never for data. */
export const verbatim = (text: string): Html => ({ [trusted]: text });

export const toText = (page: Html): string => page[trusted];

function render(part: HtmlPart): string {
  if (part === undefined || part === false) return '';
  if (typeof part === 'string' || typeof part === 'number') return escapeText(String(part));
  return trusted in part ? part[trusted] : part.map(render).join('');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

// Control characters, and those that reverse the direction of the text after them.
const unsafeCharacters = /(?![\t\n])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

const escapeText = (text: string): string =>
  text.replace(unsafeCharacters, '\ufffd').replace(/[&<>"'`]/g, (character) => entities[character] ?? '');

/** A link's target, or undefined when it is neither http(s) nor a path of this server. */
export function safeHref(href: string): string | undefined {
  if (/^(\/(?!\/)|[a-z0-9_-]+(\/|$)|#)/i.test(href) && !/[:\\]/.test(href)) return href;
  return URL.canParse(href) && /^https?:$/.test(new URL(href).protocol) ? href : undefined;
}

export function anchor({ text, href }: LinkView): Html {
  const safe = safeHref(href);
  return safe === undefined ? html`${text}: ${href}` : html`<a href="${safe}">${text}</a>`;
}

/** A time for people (without the date if it is today), with the full time in its attribute. */
export const timeTag = (at: number, now: number): Html =>
  html`<time datetime="${timeText(at).replace(' UTC', 'Z').replace(' ', 'T')}">${timeText(at, now)}</time>`;
