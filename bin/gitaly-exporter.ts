#!/usr/bin/env -S node --max-semi-space-size=4
// The executable. It checks Node's version before it loads anything that an older one could not parse.
import { existsSync } from 'node:fs';
import type { Command } from '../src/cli/command.ts';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `gitaly-exporter needs Node.js 22.19 or newer, and this is ${process.version}: install Node.js 24, or use the container image\n`,
  );
  process.exit(2);
}

// A reader that closes the pipe early (`| head`) is not a crash; output that cannot be written is.
process.stdout.on('error', (error) => {
  process.exit('code' in error && error.code === 'EPIPE' ? 0 : 2);
});

const { catchHangUps } = await import('../src/cli/signals.ts');
const hangUps = catchHangUps(process);
const { createStandardError } = await import('../src/cli/standard-error.ts');
const stderr = createStandardError();
const { main } = await import('../src/cli/main.ts');
const { hostSystem } = await import('../src/config/system.ts');

process.exitCode = await main(process.argv.slice(2), {
  system: hostSystem(),
  stdin: () => process.stdin,
  stdout: process.stdout,
  stderr,
  lostLogLines: stderr.lostLines,
  hangUps,
  signals: process,
  exit: (code) => process.exit(code),
  extraCommands: await demoCommands(),
});
// What is left open after a command has ended must not keep the process alive.
setTimeout(() => process.exit(), 2000).unref();

/** The demo is part of a checkout, not of the package. */
async function demoCommands(): Promise<readonly Command[]> {
  const file = new URL('../demo/commands.ts', import.meta.url);
  if (!existsSync(file)) return [];
  const module = (await import(file.href)) as { readonly demoCommands: readonly Command[] };
  return module.demoCommands;
}
