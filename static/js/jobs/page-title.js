// What is said of a running job outside its row: its percent in the tab's title, and on the job's own page
// a quarter, a half, three quarters and the end for those who listen rather than look.

import { ACTIVE } from './jobs.js';

const PREFIX = /^\d+ % · /;
const ENDS = new Set(['completed', 'failed', 'cancelled', 'interrupted']);

/** The title for `percents`, those of the page's running jobs: it carries a number only if there is exactly one. */
export function titled(title, percents) {
  const plain = title.replace(PREFIX, '');
  const [percent] = percents;
  if (percents.length !== 1 || !Number.isFinite(percent)) return plain;
  return `${Math.floor(percent)} % · ${plain}`;
}

/** Which quarter `percent` has reached: 0 to 3. */
export const quarter = (percent) => Math.min(3, Math.floor((percent ?? 0) / 25));

/** `rows()` lists the elements of jobs, `say(text)` reads out; both run after anything has changed. */
export function createPageTitle({ document, rows, say }) {
  const heard = new Map();

  const percentOf = (row) => row.querySelector('[data-field-bar][value]')?.value ?? NaN;

  function tick() {
    const active = new Map(
      rows()
        .filter((row) => ACTIVE.has(row.dataset.status))
        .map((row) => [row.dataset.job, percentOf(row)]),
    );
    const title = titled(document.title, [...active.values()]);
    if (document.title !== title) document.title = title;
    if (document.body.dataset.page === 'job') rows().forEach(listen);
  }

  function listen(row) {
    const { job, status } = row.dataset;
    const now = { status, quarter: quarter(percentOf(row) || 0) };
    const before = heard.get(job) ?? now;
    heard.set(job, now);
    if (before.status !== status && ENDS.has(status))
      say(row.querySelector('[data-field="status"]')?.textContent ?? status);
    else if (ACTIVE.has(status) && now.quarter > before.quarter) say(`${now.quarter * 25} %`);
  }

  return { tick };
}
