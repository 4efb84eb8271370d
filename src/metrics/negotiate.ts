/**
 * Which format and which compression a request gets. Never an error: whoever asks for nothing that we have, or
 * for something unreadable, gets Prometheus text 0.0.4, which all can read.
 *
 * Source: "Scrape protocol content negotiation" of Prometheus' documentation, and RFC 9110, 12.5.
 */
import type { Format } from './syntax.ts';

export interface NegotiatedFormat {
  readonly format: Format;
  /** Exactly as it is sent. Prometheus 3 refuses a scrape whose type it does not know. */
  readonly contentType: string;
}

const text: NegotiatedFormat = { format: 'text', contentType: 'text/plain; version=0.0.4; charset=utf-8' };
const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/**
 * The first of the most wanted among the formats that we have. OpenMetrics only when it is named: a person with
 * curl or a browser asks for anything, and gets what is easier to read.
 */
export function negotiateFormat(accept: string | undefined): NegotiatedFormat {
  for (const { value, parameters } of wanted(accept)) {
    const version = parameters.get('version');
    if (value === 'application/openmetrics-text' && (version === undefined || version === '1.0.0'))
      return openMetrics(parameters.get('escaping'));
    if (value === 'text/plain' && (version === undefined || version === '0.0.4')) return text;
    if (value === 'text/*' || value === '*/*') return text;
  }
  return text;
}

/**
 * Who asks by a scheme for escaping names is told by which they were written. All our names are [a-z0-9_], which
 * these three leave alone; `dots` would double the underscores, and is answered by `underscores`.
 */
function openMetrics(asked: string | undefined): NegotiatedFormat {
  if (asked === undefined) return { format: 'openmetrics', contentType: openMetricsType };
  const untouched = asked === 'allow-utf-8' || asked === 'values' ? asked : 'underscores';
  return { format: 'openmetrics', contentType: `${openMetricsType}; escaping=${untouched}` };
}

export type Encoding = 'gzip' | 'identity';

/** gzip when it is welcome, by name or by `*`, and identity is not asked for more strongly. */
export function negotiateEncoding(acceptEncoding: string | undefined): Encoding {
  const choices = new Map(choicesOf(acceptEncoding).map(({ value, quality }) => [value, quality]));
  const gzip = choices.get('gzip') ?? choices.get('*') ?? 0;
  return gzip > 0 && gzip >= (choices.get('identity') ?? 0) ? 'gzip' : 'identity';
}

interface Choice {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

/** Most wanted first, equals in their order; without what is refused. */
const wanted = (header: string | undefined): Choice[] =>
  choicesOf(header)
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality);

/** The elements of the header. What cannot be read is refused. */
function choicesOf(header: string | undefined): Choice[] {
  return (header ?? '')
    .toLowerCase()
    .split(',')
    .map((element) => {
      const [value = '', ...rest] = element.split(';').map((part) => part.trim());
      const parameters = new Map(rest.map(parameter));
      return { value, parameters, quality: readQuality(parameters.get('q')) };
    });
}

function parameter(text: string): [name: string, value: string] {
  const [name = '', value = ''] = text.split('=', 2);
  return [name.trim(), value.trim().replace(/^"(.*)"$/, '$1')];
}

/** RFC 9110, 12.4.2: 0 to 1 with at most three decimals. */
const readQuality = (text: string | undefined): number =>
  text === undefined ? 1 : /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Number(text) : 0;
