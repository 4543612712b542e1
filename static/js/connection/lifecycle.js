// The life of a tab around the connection: hidden and shown, asleep and awake, left and come back to,
// off and on the network.

/** @import { Clock } from '../lib/types.js' */
/** @import { Share } from './shared-connection.js' */

const HIDDEN_TOO_LONG = 60;

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {Window} page.window
 * @param {Clock} page.clock
 * @param {Share} page.share the tab's part in the connection.
 * @param {() => void} page.returned is called when the page is looked at again after so long that its
 *   data may be old.
 * @param {() => void} page.looked is called whenever it is looked at again.
 */
export function followLifecycle({ document, window, clock, share, returned, looked }) {
  /** @type {number | null} */
  let hiddenAt = null;
  let asleep = false;

  function sleep() {
    if (asleep) return;
    asleep = true;
    // An open socket or a held lock would keep other tabs waiting, and this page out of the cache.
    share.suspend();
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
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) wake();
  });
  window.addEventListener('online', () => share.tell('retry-now'));
  // A doubt rather than a fact: the browser may be off the network, and this server on the same machine.
  window.addEventListener(
    'offline',
    () => share.state() === 'connected' && share.tell('retry-now'),
  );
}
