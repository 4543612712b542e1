// Shows the percent of a running job in the tab's title, and announces on the job's own page a quarter, a half,
// three quarters and the end for those who listen rather than look.

import { ACTIVE } from './jobs.js';

const PREFIX = /^\d+ % · /;
/** @type {Set<string | undefined>} */
const FINAL = new Set(['completed', 'failed', 'cancelled', 'interrupted']);

/**
 * The title for `percents`, those of the page's running jobs: it carries a number only if there is
 * exactly one.
 *
 * @param {string} title
 * @param {(number | null)[]} percents
 */
export function titled(title, percents) {
  const plain = title.replace(PREFIX, '');
  const [percent] = percents;
  if (percents.length !== 1 || percent === null || !Number.isFinite(percent)) return plain;
  return `${Math.floor(percent)} % · ${plain}`;
}

/**
 * Which quarter `percent` has reached: 0 to 3.
 *
 * @param {number | null} percent
 */
export const quarter = (percent) => Math.min(3, Math.floor((percent ?? 0) / 25));

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {() => HTMLElement[]} page.rows lists the elements of jobs.
 * @param {(text: string) => void} page.say reads out.
 */
export function createPageTitle({ document, rows, say }) {
  /** @type {Map<string | undefined, { status?: string, quarter: number }>} */
  const known = new Map();

  /** @param {HTMLElement} row */
  function percentOf(row) {
    /** @type {HTMLProgressElement | null} */
    const bar = row.querySelector('[data-field-bar][value]');
    return bar?.value ?? NaN;
  }

  function tick() {
    /** @type {Map<string | undefined, number>} */
    const active = new Map();
    for (const row of rows()) {
      if (ACTIVE.has(row.dataset.status)) active.set(row.dataset.job, percentOf(row));
    }
    const title = titled(document.title, [...active.values()]);
    if (document.title !== title) document.title = title;
    if (document.body.dataset.page === 'job') rows().forEach(listen);
  }

  /** @param {HTMLElement} row */
  function listen(row) {
    const { job, status } = row.dataset;
    const now = { status, quarter: quarter(percentOf(row) || 0) };
    const before = known.get(job) ?? now;
    known.set(job, now);
    if (before.status !== status && FINAL.has(status)) {
      say(row.querySelector('[data-field="status"]')?.textContent ?? status ?? '');
    } else if (ACTIVE.has(status) && now.quarter > before.quarter) {
      say(`${now.quarter * 25} %`);
    }
  }

  return { tick };
}
