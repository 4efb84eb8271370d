/**
 * The library: metrics, collectors and checks for other programs. It loads no database driver and no native code:
 * src/praefect.ts has Praefect's database. The exports of these files, and of alerts/library.ts and dashboards/library.ts,
 * follow semantic versioning; everything else may change. docs/library.md has examples.
 */

// All declared metrics.
export { catalog, everyMetric } from './app/catalog.ts';
// The repository bucket of a path.
export { bucketsOf } from './buckets/hash.ts';
export { type Clock, systemClock } from './lib/clock.ts';
export { type Log, silentLog } from './lib/log.ts';
export { type Exposition, exposition, expositionText } from './metrics/exposition.ts';
// Metric declarations and samples.
export { anyValue, counter, gauge, histogram, type LabelsOf, type Metric } from './metrics/metric.ts';
export { type Block, createSamples, type Family, single } from './metrics/samples.ts';
export { withOverrides } from './rules/alert-thresholds.ts';
// Checks of recommended configuration, and problems: pure functions of facts and views.
export { type CheckFinding, type Evaluation, evaluate } from './rules/checks/evaluate.ts';
export { type CheckInputs, nothingKnown } from './rules/checks/inputs.ts';
export { type Finding, type Fix, severities } from './rules/finding.ts';
export { defaultJudgment, type Judgment } from './rules/judgment.ts';
export type { Problem } from './rules/problems/problem.ts';
export { createProblemTracker, type ProblemViews } from './rules/problems/tracker.ts';
export { defaultThresholds, type Thresholds } from './rules/thresholds.ts';
// Running collectors, including your own.
export { type Budget, createBudget } from './scheduler/budget.ts';
export type { Collector, Run, Schedule } from './scheduler/collector.ts';
export { createEventLog, type Event, type EventLog } from './scheduler/event-log.ts';
export { type FailureReason, failed, failureReasons, type Outcome } from './scheduler/outcome.ts';
export { createRunner, type Runner, type RunnerOptions } from './scheduler/runner.ts';
export type { CollectorStatus } from './scheduler/status.ts';
// Gitaly's cgroups: memory, CPU and OOM kills.
export { type CgroupSource, type CgroupSourceOptions, createCgroupSource } from './sources/cgroup/source.ts';
export type { KnownPods, PodDirectory } from './sources/cgroup/tree.ts';
export type { KnownPod } from './sources/server-info.ts';
