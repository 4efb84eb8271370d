/**
 * Cleans up when nobody else can. Nothing in Node runs on SIGKILL, and PostgreSQL outlives its parent; so a small
 * shell waits at the end of a pipe that only this process holds. When the pipe ends, the process is gone, and
 * the shell ends the server whose data folder it was told and removes what the demo has on disk.
 */
import { type ChildProcess, spawn } from 'node:child_process';

export interface Guard {
  /** Everything is cleaned up already: it may go. */
  dismiss(): void;
}

// The server's pid is read when it is needed: it changes whenever the demo restarts the database.
const script = `
  read -r _
  tries=0
  while pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" && [ $tries -lt 50 ]; do
    [ $tries -eq 0 ] && kill -INT "$pid"
    [ $tries -eq 20 ] && kill -QUIT "$pid"
    [ $tries -eq 49 ] && kill -KILL "$pid"
    tries=$((tries + 1))
    sleep 0.1
  done 2>/dev/null
  # An initdb that was under way writes on for a moment.
  tries=0
  while { rm -rf -- "$1"; sleep 0.1; [ -e "$1" ]; } && [ $tries -lt 100 ]; do tries=$((tries + 1)); done 2>/dev/null`;

/** @param folder the demo's own; PostgreSQL's is `data` in it */
export function startGuard(folder: string): Guard {
  if (process.platform === 'win32') return { dismiss: () => undefined }; // no sh there
  const shell: ChildProcess = spawn('sh', ['-c', script, 'gitaly-exporter-demo-guard', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // Ctrl-C at the terminal goes to every process of the group, and must not reach this one
  });
  shell.unref();
  shell.on('error', () => undefined); // no sh: then a SIGKILL leaves the server, and nothing else is lost
  return {
    dismiss: () => {
      shell.kill('SIGKILL');
    },
  };
}
