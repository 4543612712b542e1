// The jobs of a page, live: their rows, charts and ages, the page's title and the notifications.

import { initCharts } from '../charts/page-charts.js';
import { createClock, repeat } from '../lib/clock.js';
import { findAll } from '../lib/dom.js';
import { createAges } from './age.js';
import { ACTIVE, createJobs } from './jobs.js';
import { createPageTitle } from './page-title.js';

/** @import { Clock, ProgressEvent, StatusEvent } from '../lib/types.js' */

/**
 * @param {object} page
 * @param {Window & typeof globalThis} page.window
 * @param {Clock} page.clock
 * @param {{ soon: () => void }} page.refresh
 * @param {(text: string) => void} page.say reads out.
 * @param {() => void} page.silent is called when a running job has had no news for too long.
 */
export function createLiveJobs({ window, clock, refresh, say, silent }) {
  const { document } = window;
  const rows = () => findAll(document, '[data-job][data-seq]');
  const activeRows = () => rows().filter((row) => ACTIVE.has(row.dataset.status));
  const jobs = createJobs({
    rowsOf: (job) => findAll(document, `[data-job="${job}"][data-seq]`),
    refresh,
  });
  const pageTitle = createPageTitle({ document, rows, say });
  const charts = initCharts({ window });
  const ages = createAges({ clock, activeRows, silent });

  function tick() {
    ages.tick();
    pageTitle.tick();
  }

  /** @param {ProgressEvent} event */
  function progress(event) {
    jobs.progress(event);
    charts.progress(event);
    // Where the clock below is slowed down, and the title is all there is to see.
    if (document.hidden) pageTitle.tick();
  }

  /** @param {StatusEvent} event */
  function statusChanged(event) {
    jobs.moved(event);
    pageTitle.tick();
  }

  /** After a reply has put new rows and charts on the page. */
  function swapped() {
    jobs.reconcile(rows());
    charts.look();
    tick();
  }

  document.addEventListener('portal:progress', ({ detail }) => progress(detail));
  document.addEventListener('portal:status', ({ detail }) => statusChanged(detail));
  document.addEventListener('portal:changed', ({ detail }) => {
    jobs.moved({ ...detail, new_status: detail.status });
  });
  document.addEventListener('portal:created', ({ detail }) => jobs.moved(detail));
  document.addEventListener('htmx:afterSwap', swapped);

  /** Ages and title follow the real time, whatever the scale of the page's clock. */
  const startClock = () => repeat(createClock(), 1, tick);

  return { activeRows, mayReplace: jobs.mayReplace, startClock };
}
