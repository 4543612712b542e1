// Without a socket the page fetches: each running job every 2 s, the regions every 5 s.
// It runs in `polling`, in `offline` as the probe that finds the way back, and while events are delayed; else never.

import { repeat } from '../lib/clock.js';

const JOB_SECONDS = 2;
const PAGE_SECONDS = 5;
const POLLS = new Set(['polling', 'offline']);

/**
 * `activeRows()` lists the running rows, `fetchRow(row)` polls one, `fetchPage()` refetches the regions and says
 * whether there were any, `askSession()` is the probe of a page that has none.
 */
export function createPolling({ clock, activeRows, fetchRow, fetchPage, askSession, tell }) {
  const pending = new Set();
  let stops = [];
  let state = null;

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

  function follow(detail) {
    state = detail.state;
    const polls = POLLS.has(state) || (state === 'connected' && detail.delayed);
    if (!polls) stop();
    else if (!stops.length) start();
  }

  return { follow, stop };
}
