/**
 * Negotiates format and compression. Never an error: a request for an unknown format or with a malformed header gets
 * Prometheus text 0.0.4, which every client can read.
 *
 * Source: "Scrape protocol content negotiation" of Prometheus' documentation, and RFC 9110, 12.5.
 */
import type { Format } from './syntax.ts';

export interface NegotiatedFormat {
  readonly format: Format;
  /** Exactly as it is sent. Prometheus 3 rejects a scrape of an unknown type. */
  readonly contentType: string;
}

const text: NegotiatedFormat = { format: 'text', contentType: 'text/plain; version=0.0.4; charset=utf-8' };
const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/**
 * The available format with the highest quality value. OpenMetrics only when it is named: curl and browsers accept
 * anything, and get the format that is easier to read.
 */
export function negotiateFormat(accept: string | undefined): NegotiatedFormat {
  for (const { value, parameters } of acceptable(accept)) {
    const version = parameters.get('version');
    if (value === 'application/openmetrics-text' && (version === undefined || version === '1.0.0'))
      return openMetrics(parameters.get('escaping'));
    if (value === 'text/plain' && (version === undefined || version === '0.0.4')) return text;
    if (value === 'text/*' || value === '*/*') return text;
  }
  return text;
}

/**
 * A client that names an escaping scheme gets the one that was used. All our names are [a-z0-9_], which these three
 * schemes leave unchanged; `dots` would double the underscores, so `underscores` is returned for it.
 */
function openMetrics(scheme: string | undefined): NegotiatedFormat {
  if (scheme === undefined) return { format: 'openmetrics', contentType: openMetricsType };
  const untouched = scheme === 'allow-utf-8' || scheme === 'values' ? scheme : 'underscores';
  return { format: 'openmetrics', contentType: `${openMetricsType}; escaping=${untouched}` };
}

export type Encoding = 'gzip' | 'identity';

/** gzip when it is accepted, by name or by `*`, unless identity has a higher quality value. */
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

/** Highest quality first, equal ones in their order; without rejected ones. */
const acceptable = (header: string | undefined): Choice[] =>
  choicesOf(header)
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality);

/** The elements of the header. Malformed quality values count as 0. */
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
