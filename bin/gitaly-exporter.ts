#!/usr/bin/env -S node --max-semi-space-size=4
// The executable. It checks Node's version before anything is loaded that an older one could not even parse.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `gitaly-exporter needs Node.js 22.18 or newer, and this is ${process.version}: install Node.js 24, or use the container image\n`,
  );
  process.exit(2);
}

// A reader that has seen enough closes the pipe (`| head`): its right, and no crash.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if ('code' in error && error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

const { main } = await import('../src/cli/main.ts');
const { hostSystem } = await import('../src/config/system.ts');

process.exitCode = await main(process.argv.slice(2), {
  system: hostSystem(),
  stdin: () => process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signals: process,
  exit: (code) => process.exit(code),
});
// What is left open after a command has ended must not keep the process alive.
setTimeout(() => process.exit(), 2000).unref();
