// Without a socket the page fetches: each running job every 2 s, the regions every 5 s.
// It runs in `polling`, in `offline` as the probe that finds the way back, and while events are
// delayed; else never.

import { repeat } from '../lib/clock.js';

/** @import { Clock, SessionState, Snapshot, State, Tell } from '../lib/types.js' */

const JOB_SECONDS = 2;
const PAGE_SECONDS = 5;
/** @type {Set<State>} */
const POLLS = new Set(['polling', 'offline']);

/**
 * @param {object} page
 * @param {Clock} page.clock
 * @param {() => HTMLElement[]} page.activeRows lists the running rows.
 * @param {(row: HTMLElement) => Promise<void>} page.fetchRow polls one.
 * @param {() => boolean} page.fetchPage refetches the regions and says whether there were any.
 * @param {() => Promise<SessionState>} page.askSession is the probe of a page that has none.
 * @param {Tell} page.tell
 */
export function createPolling({ clock, activeRows, fetchRow, fetchPage, askSession, tell }) {
  /** @type {Set<string | undefined>} */
  const pending = new Set();
  /** @type {(() => void)[]} */
  let stops = [];
  /** @type {State | null} */
  let state = null;

  /** @param {HTMLElement} row */
  async function pollRow(row) {
    const job = row.dataset.job;
    if (pending.has(job)) return;
    pending.add(job);
    try {
      await fetchRow(row);
    } finally {
      pending.delete(job);
    }
  }

  function pollJobs() {
    const rows = activeRows();
    // While nothing answers, one question is enough.
    for (const row of state === 'offline' ? rows.slice(0, 1) : rows) pollRow(row);
  }

  async function pollPage() {
    if (fetchPage() || activeRows().length) return;
    const answer = await askSession();
    if (answer === 'ended') tell('session-ended', 'expired');
    else tell(answer === 'live' ? 'poll-succeeded' : 'poll-failed');
  }

  function start() {
    stops = [repeat(clock, JOB_SECONDS, pollJobs), repeat(clock, PAGE_SECONDS, pollPage)];
    pollJobs();
    pollPage();
  }

  function stop() {
    for (const end of stops) end();
    stops = [];
  }

  /** @param {Pick<Snapshot, 'state' | 'delayed'>} detail */
  function follow(detail) {
    state = detail.state;
    const polls = POLLS.has(state) || (state === 'connected' && detail.delayed);
    if (!polls) stop();
    else if (!stops.length) start();
  }

  return { follow, stop };
}
