/** HTML by template: whatever is put in is escaped, unless it was made by this template itself. */

const trusted = Symbol('trusted');

/** Only this module can make one: data from outside has no way to the symbol. */
export interface Html {
  readonly [trusted]: string;
}

type Part = Html | readonly Part[] | string | number | undefined | false;

/** Undefined and false put in nothing. Every attribute's value stands in double quotes. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  let text = strings[0] ?? '';
  for (const [index, part] of parts.entries()) text += render(part) + (strings[index + 1] ?? '');
  return { [trusted]: text };
}

/** For text of our own that escaping would break: style and script. Never for data. */
export const verbatim = (text: string): Html => ({ [trusted]: text });

export const toText = (page: Html): string => page[trusted];

function render(part: Part): string {
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

// Control characters, and those that reverse the direction of what follows: a name must not rewrite its line.
const disruptive = /(?![\t\n])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

export const escapeText = (text: string): string =>
  text.replace(disruptive, '\ufffd').replace(/[&<>"'`]/g, (character) => entities[character] ?? '');

/** A link's target, or undefined when it is neither http(s) nor a path of this server. */
export function safeHref(href: string): string | undefined {
  if (/^(\/(?!\/)|[a-z0-9_-]+(\/|$)|#)/i.test(href) && !/[:\\]/.test(href)) return href;
  return URL.canParse(href) && /^https?:$/.test(new URL(href).protocol) ? href : undefined;
}
