/** All sections of the settings. A new one is a value in a file next to this one, and named here. */
import type { Section, ValuesOf } from '../setting.ts';
import { alertsSection, dashboardsSection, thresholdsRule, thresholdsSection } from './alerts.ts';
import { cgroupSection } from './cgroup.ts';
import { gitalyRule, gitalySection } from './gitaly.ts';
import { kubernetesRule, kubernetesSection } from './kubernetes.ts';
import { praefectRule, praefectSection } from './praefect.ts';
import {
  checksSection,
  configSection,
  logSection,
  maintenanceSection,
  metricsSection,
  webSection,
} from './program.ts';

export const sections = [
  configSection,
  webSection,
  logSection,
  praefectSection,
  gitalySection,
  cgroupSection,
  kubernetesSection,
  maintenanceSection,
  checksSection,
  metricsSection,
  alertsSection,
  thresholdsSection,
  dashboardsSection,
] as const satisfies Section[];

/** For help and `config check`: all sections but the thresholds, which are over 100 settings. */
export const listedTitles: readonly string[] = sections
  .map(({ title }) => title)
  .filter((title) => title !== thresholdsSection.title);

/** Every setting, parsed, checked and frozen. Durations are in milliseconds, thresholds in their own unit, ratios from 0 to 1. */
export type Settings = ValuesOf<
  (typeof configSection)['settings'] &
    (typeof webSection)['settings'] &
    (typeof logSection)['settings'] &
    (typeof praefectSection)['settings'] &
    (typeof gitalySection)['settings'] &
    (typeof cgroupSection)['settings'] &
    (typeof kubernetesSection)['settings'] &
    (typeof maintenanceSection)['settings'] &
    (typeof checksSection)['settings'] &
    (typeof metricsSection)['settings'] &
    (typeof alertsSection)['settings'] &
    (typeof thresholdsSection)['settings'] &
    (typeof dashboardsSection)['settings']
>;

/** Rules between settings, checked when each setting is valid. */
export const rules: readonly ((settings: Settings) => string | undefined)[] = [
  praefectRule,
  gitalyRule,
  kubernetesRule,
  thresholdsRule,
];
