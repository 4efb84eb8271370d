/** The exporter's collectors on a Praefect database, with the settings that differ from the defaults. */
import { type Collection, type CollectionOptions, createCollection } from '../src/app/collectors.ts';
import { processHost } from '../src/app/sources.ts';
import { loadSettings } from '../src/config/load.ts';
import { hostSystem } from '../src/config/system.ts';
import { systemClock } from '../src/lib/clock.ts';
import { silentLog } from '../src/lib/log.ts';
import { defaultThresholds } from '../src/rules/thresholds.ts';
import { createEventLog } from '../src/scheduler/event-log.ts';

type Settings = CollectionOptions['settings'];
type Praefect = CollectionOptions['praefect'];

export async function startCollection(
  { database, configuredStorages }: Pick<Praefect, 'database' | 'configuredStorages'>,
  changed: (defaults: Settings) => Settings,
): Promise<Collection> {
  const system = hostSystem({});
  const { settings } = await loadSettings([], system);
  const collection = createCollection({
    settings: changed(settings),
    praefect: { database, databaseText: '', config: undefined, problems: [], configuredStorages },
    host: processHost(system, silentLog, systemClock),
    events: createEventLog(systemClock),
    thresholds: defaultThresholds,
    version: '',
    extraFamilies: [],
  });
  collection.runner.start();
  return collection;
}
