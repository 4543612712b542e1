// The keys of the dialog of folders: arrows and page keys go through the rows, left goes up and
// right goes in, and letters lead to a name.

import { findOptional } from '../lib/dom.js';
import { typedAhead } from './type-ahead.js';

export const ROWS = '.browse-row:is(button), [data-more]';
const PAGE = 10; // Rows that the page keys go over.

/**
 * The row to focus for a key, or null where the key means something else.
 *
 * @template Row
 * @param {Row[]} rows
 * @param {Row} current
 * @param {string} key
 * @returns {Row | null}
 */
export function nextRow(rows, current, key) {
  const at = rows.indexOf(current);
  /** @type {Record<string, number>} */
  const places = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + PAGE,
    PageUp: at - PAGE,
    Home: 0,
    End: rows.length - 1,
  };
  const to = places[key];
  return to === undefined ? null : (rows[Math.max(0, Math.min(rows.length - 1, to))] ?? null);
}

/**
 * @param {HTMLElement} panel holds what the server says of a folder.
 * @param {() => HTMLElement[]} rows lists its rows, from the top.
 */
export function followKeys(panel, rows) {
  const ahead = typedAhead();

  /**
   * Goes to the next row whose name begins with what was typed. Where none is shown, the search goes
   * on.
   *
   * @param {KeyboardEvent} event
   * @param {HTMLElement} target
   */
  function findName(event, target) {
    const begun = ahead.add(event.key, event.timeStamp);
    const names = rows().map((row) => row.querySelector('.browse-name')?.textContent?.trim() ?? '');
    const row = rows()[ahead.next(names, rows().indexOf(target))];
    /** @type {HTMLInputElement | null} */
    const search = findOptional(panel, '#browse-q');
    if (row) row.focus();
    else if (search && panel.querySelector('[data-more]')) {
      search.focus();
      search.value = begun;
      search.dispatchEvent(new Event('input', { bubbles: true }));
    } else return;
    event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches('input')) {
      if (key !== 'ArrowDown') return;
    } else if (key === 'Backspace' || key === 'ArrowLeft') {
      findOptional(panel, '[data-up]')?.click();
      event.preventDefault();
      return;
    } else if (key === 'ArrowRight' && target.matches('[data-open]')) {
      target.click();
      event.preventDefault();
      return;
    } else if (isLetter(key, event.timeStamp) && target.matches(ROWS)) {
      findName(event, target);
      return;
    }
    const row = nextRow(rows(), target, key);
    if (!row) return;
    row.focus();
    event.preventDefault();
  }

  /**
   * A space is one only within a name that has been begun; else it presses the row.
   *
   * @param {string} key
   * @param {number} time
   */
  const isLetter = (key, time) => key.length === 1 && (key !== ' ' || ahead.isOpen(time));

  panel.addEventListener('keydown', press);
}
