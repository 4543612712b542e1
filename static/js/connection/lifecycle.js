// The life of a tab around the connection: hidden and shown, asleep and awake, left and come back to, off and on the network.

const HIDDEN_TOO_LONG = 60;

/**
 * `share` is the tab's part in the connection (leader.js); `returned` is called when the page is looked at again
 * after so long that its data may be old.
 */
export function followLifecycle({ document, window, clock, share, returned, looked }) {
  let hiddenAt = null;
  let asleep = false;

  function sleep() {
    if (asleep) return;
    asleep = true;
    share.suspend(); // An open socket or a held lock would keep other tabs waiting, and this page out of the cache.
  }

  function wake() {
    if (!asleep) return;
    asleep = false;
    share.start();
    returned();
  }

  function shown() {
    const hiddenFor = hiddenAt === null ? 0 : clock.now() - hiddenAt;
    hiddenAt = null;
    share.tell('retry-now');
    looked();
    if (hiddenFor > HIDDEN_TOO_LONG) returned();
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) hiddenAt = clock.now();
    else shown();
  });
  document.addEventListener('freeze', sleep);
  document.addEventListener('resume', wake);
  window.addEventListener('pagehide', sleep);
  window.addEventListener('pageshow', (event) => event.persisted && wake());
  window.addEventListener('online', () => share.tell('retry-now'));
  // A doubt rather than a fact: the browser may be off the network, and this server on the same machine.
  window.addEventListener(
    'offline',
    () => share.state() === 'connected' && share.tell('retry-now'),
  );
}
