/**
 * The library: the parts of the exporter for whoever builds their own program, boards or rules on them. What is
 * exported here is covered by the version; everything else may change.
 */

// What is said of a Gitaly Cluster.
export { type CatalogueSection, catalogue, everyMetric } from './catalogue.ts';
// Gitaly's cgroups: memory, CPU, OOM kills, and which bucket a repository is in.
export { bucketsOf } from './cgroup/buckets/hash.ts';
export type { KnownPod, KnownPods, PodDirectory } from './cgroup/pods.ts';
export { type CgroupRoom, type CgroupRoomOptions, createCgroupRoom } from './cgroup/room.ts';
export type { DatabaseConnection, SslMode } from './config/database-connection.ts';
export { Secret } from './config/secret.ts';
export { createEventLog, type Event, type EventLog } from './events/log.ts';
export { type Exposition, exposition, expositionText } from './metrics/exposition.ts';
export { lintMetrics } from './metrics/lint.ts';
export { lintBlock } from './metrics/lint-block.ts';
// Declaring metrics and making samples of them.
export { anyValue, counter, gauge, histogram, type LabelsOf, type Metric } from './metrics/metric.ts';
export { type Block, type Family, samplesOf, single } from './metrics/samples.ts';
// Recommendations as checks: pure functions of what was found.
export { type Evaluation, evaluate, type Finding } from './posture/evaluate.ts';
export { nothingKnown, type PostureInputs } from './posture/inputs.ts';
// Reading Praefect's database.
export { createDatabase } from './praefect/connection/create-database.ts';
export type { Answer, Database, Look, Row } from './praefect/database.ts';
export { type HealthView, healthOf } from './praefect/health.ts';
export { createPraefectRoom, type PraefectRoom, type PraefectRoomOptions } from './praefect/room.ts';
export { type SchemaVariant, variantOf, variantSql } from './praefect/variant.ts';
export { type Problem, praefectProblems } from './problems/praefect.ts';
export { readingOf } from './problems/reading.ts';
// Running collectors of one's own beside them.
export { type Budget, createBudget } from './runtime/budget.ts';
export { type Clock, systemClock } from './runtime/clock.ts';
export type { Collector, Run, Schedule } from './runtime/collector.ts';
export { type Log, silentLog } from './runtime/log.ts';
export { type FailureReason, failed, failureReasons, type Outcome } from './runtime/outcome.ts';
export { createRunner, type Runner, type RunnerOptions } from './runtime/runner.ts';
export type { CollectorStatus } from './runtime/status.ts';
