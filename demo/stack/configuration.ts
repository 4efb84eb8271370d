/** The files of deploy/compose with the addresses and folders of this host: containers and local programs share them. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';

/** Each as `127.0.0.1:9090`. */
export interface Addresses {
  readonly exporter: string;
  readonly prometheus: string;
  readonly alertmanager: string;
  readonly grafana: string;
}

/** Of the project: with deploy/compose, alerts and dashboards. */
const project = join(import.meta.dirname, '..', '..');
const compose = join(project, 'deploy', 'compose');

/**
 * Writes the configuration of all three programs.
 * @returns the variables of Grafana's container
 */
export async function writeConfiguration(
  folder: string,
  addresses: Addresses,
): Promise<Readonly<Record<string, string>>> {
  const dashboards = join(project, 'dashboards');
  const local = (text: string): string =>
    Object.entries(addresses)
      .reduce((so, [name, address]) => so.replaceAll(new RegExp(`\\b${name}:\\d+`, 'g'), address), text)
      .replaceAll('/etc/prometheus/rules', join(project, 'alerts'))
      .replaceAll('/etc/grafana/dashboards', dashboards);
  const copy = async (from: string, to: string): Promise<void> => {
    await writeFile(join(folder, to), local(await readFile(join(compose, from), 'utf8')));
  };
  for (const part of ['datasources', 'dashboards'])
    await mkdir(join(folder, 'provisioning', part), { recursive: true });
  await copy('prometheus.yml', 'prometheus.yml');
  await copy('grafana/datasources.yaml', 'provisioning/datasources/gitaly-exporter.yaml');
  await copy('grafana/dashboards.yaml', 'provisioning/dashboards/gitaly-exporter.yaml');
  await cp(join(project, 'alerts', 'alertmanager.example.yaml'), join(folder, 'alertmanager.yml'));
  const services = parse(await readFile(join(compose, 'compose.yaml'), 'utf8')) as {
    readonly services: { readonly grafana: { readonly environment: Readonly<Record<string, string>> } };
  };
  return Object.fromEntries(
    Object.entries(services.services.grafana.environment).map(([name, value]) => [name, local(value)]),
  );
}
