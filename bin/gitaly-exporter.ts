#!/usr/bin/env -S node --max-semi-space-size=4
// The executable. It checks Node's version before anything is loaded that an older one could not even parse.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `gitaly-exporter needs Node.js 22.18 or newer, and this is ${process.version}: install Node.js 24, or use the container image\n`,
  );
  process.exit(2);
}

const { main } = await import('../src/cli.ts');
const { systemWorld } = await import('../src/config/world.ts');

process.exitCode = await main(process.argv.slice(2), {
  world: systemWorld(),
  stdout: process.stdout,
  stderr: process.stderr,
  signals: process,
  exit: (code) => process.exit(code),
});
// What is left open after a command has ended must not keep the process alive.
setTimeout(() => process.exit(), 2000).unref();
