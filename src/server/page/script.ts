/**
 * Keeps an open page true: fetches it anew every few seconds, and when that fails says that what is shown is
 * old, instead of letting a green page stand there after the exporter has died. Without script the page is as
 * complete, and is loaded again by its header.
 */
export const refreshSeconds = 10;

export const script = `
(() => {
  const everyMs = ${refreshSeconds * 1000};
  const oldAfterMs = 3 * everyMs;
  const banner = document.getElementById('old');
  let readAt = Date.now();
  let busy = false;
  const mark = () => {
    const age = Date.now() - readAt;
    const old = age > oldAfterMs;
    document.documentElement.classList.toggle('old', old);
    banner.hidden = !old;
    if (old) banner.textContent = 'This page could not be updated for ' + Math.round(age / 1000) +
      ' s. What it says may no longer be so.';
  };
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(everyMs) });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const main = next.querySelector('main');
      if (!main || String(getSelection())) return;
      const focus = document.activeElement && document.activeElement.id;
      for (const { id } of document.querySelectorAll('main details[open]')) next.getElementById(id)?.setAttribute('open', '');
      document.querySelector('main').replaceWith(document.adoptNode(main));
      document.title = next.title;
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
      readAt = Date.now();
    } catch {
    } finally {
      busy = false;
      mark();
    }
  };
  setInterval(refresh, everyMs);
  setInterval(mark, 1000);
  document.addEventListener('visibilitychange', () => { mark(); refresh(); });
})();
`;
