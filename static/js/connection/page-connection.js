// What a page does as its connection changes: it says so, polls where nothing is pushed, fetches what
// it missed, and is drawn anew after signing in again.

import { at } from '../lib/base.js';
import { find } from '../lib/dom.js';
import { createBanner } from './banner.js';
import { followLifecycle } from './lifecycle.js';
import { createPolling } from './polling.js';
import { askSession } from './session.js';

/** @import { Clock, Htmx } from '../lib/types.js' */
/** @import { Share } from './shared-connection.js' */
/** @import { createRefresh } from './refresh.js' */

/**
 * Polls one row. Nothing is to be done when it fails: requests.js learns of it by its event.
 *
 * @param {Htmx} htmx
 * @param {HTMLElement} row
 */
const fetchRow = (htmx, row) =>
  htmx
    .ajax('GET', at(`/api/jobs/${row.dataset.job}/progress`), {
      source: row,
      target: row,
      swap: 'morph:outerHTML',
    })
    .catch(() => {});

/**
 * @param {object} page
 * @param {Window & typeof globalThis} page.window
 * @param {Clock} page.clock
 * @param {Share} page.share the tab's part in the connection.
 * @param {ReturnType<typeof createRefresh>} page.refresh
 * @param {() => HTMLElement[]} page.activeRows lists the running rows.
 * @param {() => number} page.lastData when the page last got data.
 * @param {() => void} page.redrawPage
 */
export function followConnection(page) {
  const { window, clock, share, refresh, activeRows, lastData, redrawPage } = page;
  const { document, location, htmx } = window;
  const { state, tell } = share;
  const banner = createBanner({
    root: find(document, '#connection'),
    clock,
    tryNow: () => tell('retry-now'),
    lastData,
    nextPath: () => location.pathname + location.search,
  });
  const polling = createPolling({
    clock,
    activeRows,
    askSession,
    tell,
    fetchRow: (row) => fetchRow(htmx, row),
    fetchPage() {
      refresh.now();
      return document.querySelector('[data-region]') !== null;
    },
  });

  document.addEventListener('portal:connection', ({ detail }) => {
    banner.follow(detail);
    polling.follow(detail);
    refresh.follow(detail);
    if (detail.previous === 'signed-out' && detail.state !== 'signed-out') redrawPage();
  });

  async function looked() {
    if (state() === 'signed-out' && (await askSession()) === 'live') tell('signed-in');
  }

  followLifecycle({ document, window, clock, share, returned: refresh.now, looked });
}
