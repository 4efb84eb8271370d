/** Series as text, `name{label="value"}`: read from a metrics page, classified, and given labels of their target. */

/** The samples of a page by series; of histograms only the counts. */
export function seriesIn(page: string): ReadonlyMap<string, number> {
  const histograms = new Set([...page.matchAll(/^# TYPE (\S+) histogram$/gm)].map(([, name]) => name));
  const isLeftOut = (series: string): boolean =>
    histograms.has(familyOf(series).replace(/_(bucket|sum)$/, ''));
  return new Map(
    page.split('\n').flatMap((line): [string, number][] => {
      const found = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/.exec(line);
      const series = found?.[1];
      return series === undefined || isLeftOut(series) ? [] : [[series, Number(found?.[2])]];
    }),
  );
}

/** The metric's name. */
export const familyOf = (series: string): string => series.replace(/\{.*$/s, '');

/** Every word of the rules: the families that they name, and other words. */
export const wordsOf = (rules: readonly string[]): ReadonlySet<string> =>
  new Set(rules.flatMap((text) => text.match(/[a-zA-Z_:][\w:]*/g) ?? []));

/** Seconds since 1970, which a replay moves to its own time. */
export const isTime = (series: string): boolean =>
  /_(timestamp|start_time|exporter_time)_seconds$/.test(familyOf(series));

export const isCounter = (series: string): boolean => /_(total|count)$/.test(familyOf(series));

/** Adds the labels of the scraped target, as Prometheus does with honor_labels: the series' own take precedence. */
export function withTarget(series: string, target: Readonly<Record<string, string>>): string {
  const added = Object.entries(target)
    .filter(([name]) => !new RegExp(`[{,]${name}="`).test(series))
    .map(([name, value]) => `${name}="${value}"`)
    .join(',');
  if (added === '') return series;
  return series.includes('{') ? series.replace('{', `{${added},`).replace(',}', '}') : `${series}{${added}}`;
}
