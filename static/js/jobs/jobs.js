// Keeps every job on the page at the newest view, whether it came by push, poll or page. A view that is older
// than the one shown is dropped; one that shows that an event was missed makes the page refetch.

import { patch, shownIn, viewOf } from './rows.js';

/** @import { View, ViewEvent } from '../lib/types.js' */

const FINAL = new Set(['completed', 'failed', 'cancelled']);
/** @type {Set<string | undefined>} */
export const ACTIVE = new Set(['running', 'cancelling']);
const REMEMBERED = 1000;

/**
 * Returns `older` (drop it), `missed` (show it, but an event between was lost) or `newer`.
 *
 * @param {{ seq: number, status: string }} shown
 * @param {{ seq: number, status: string | null }} view
 */
export function compare(shown, view) {
  if (view.seq <= shown.seq) return 'older';
  if (FINAL.has(shown.status)) return 'older'; // Nothing follows a final status.
  const surprising = !view.status && !ACTIVE.has(shown.status); // Progress of a job that, as shown, does not run.
  return view.seq > shown.seq + 1 || surprising ? 'missed' : 'newer';
}

/**
 * @param {object} page
 * @param {(job: number) => Iterable<HTMLElement>} page.rowsOf lists the elements that show a job.
 * @param {{ soon: () => void }} page.refresh refetches.
 */
export function createJobs({ rowsOf, refresh }) {
  /** @type {Map<number, View>} */
  const latest = new Map();

  /** @param {View} view */
  function remember(view) {
    const known = latest.get(view.job);
    if (known && known.seq >= view.seq) return;
    latest.delete(view.job); // Set again below, so that the longest unheard of is forgotten first.
    latest.set(view.job, {
      ...view,
      status: view.status ?? known?.status ?? null,
      display: { ...known?.display, ...view.display },
    });
    if (latest.size > REMEMBERED) latest.delete(/** @type {number} */ (latest.keys().next().value));
  }

  /** @param {View} view */
  function apply(view) {
    remember(view);
    for (const row of rowsOf(view.job)) {
      const verdict = compare(shownIn(row), view);
      if (verdict === 'older') continue;
      patch(row, view);
      if (verdict === 'missed') refresh.soon();
    }
  }

  /**
   * A job that changes its status or is new belongs in another place of the page, and changes its
   * counts.
   *
   * @param {ViewEvent} event
   */
  function moved(event) {
    if (event.new_status) apply(viewOf(event));
    refresh.soon();
  }

  /**
   * Whether what came back for `row` with `seq` may replace what is shown there.
   *
   * @param {HTMLElement} row
   * @param {number} seq
   */
  const mayReplace = (row, seq) => !(seq < shownIn(row).seq);

  /**
   * Brings rows that a reply put on the page up to the newest view that was pushed meanwhile.
   *
   * @param {HTMLElement[]} rows
   */
  function reconcile(rows) {
    for (const row of rows) {
      const view = latest.get(Number(row.dataset.job));
      if (view && compare(shownIn(row), view) !== 'older') patch(row, view);
    }
  }

  /** @param {ViewEvent} event */
  const progress = (event) => apply(viewOf(event));

  return { progress, moved, mayReplace, reconcile };
}
