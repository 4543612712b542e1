// Writes one view of a job (a push, or what a poll brought) into the elements that show it.
// Only texts that differ are touched, so that nothing moves unless a number changed.

import { findAll, setText } from '../lib/dom.js';

/** @import { View, ViewEvent } from '../lib/types.js' */

/**
 * The view that an event carries: figures always, the status only if it is a change of status.
 *
 * @param {ViewEvent} event
 * @returns {View}
 */
export function viewOf(event) {
  return {
    job: event.job_id,
    seq: event.seq,
    status: event.new_status ?? null,
    percent: event.percent,
    display: event.display ?? {},
  };
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | null} value
 */
function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/**
 * @param {Element} use
 * @param {string} icon
 */
function patchIcon(use, icon) {
  const [file] = (use.getAttribute('href') ?? '').split('#');
  setAttribute(use, 'href', `${file}#${icon}`);
}

/**
 * Shows `view` in `row`, any element with `data-job`, `data-seq`, `data-status` and slots.
 *
 * @param {HTMLElement} row
 * @param {View} view
 */
export function patch(row, view) {
  /** @type {View['display']} */
  const display = { ...view.display, age: '' };
  row.dataset.seq = String(view.seq);
  row.dataset.age = '0';
  row.classList.remove('stale');
  for (const slot of findAll(row, '[data-field]')) {
    const text = display[slot.dataset.field ?? ''];
    if (text !== undefined) setText(slot, text);
  }
  for (const bar of row.querySelectorAll('[data-field-bar]')) {
    if (view.percent !== undefined) setAttribute(bar, 'value', view.percent);
    if (display.valuetext !== undefined) setAttribute(bar, 'aria-valuetext', display.valuetext);
  }
  if (!view.status) return;
  row.dataset.status = view.status;
  if (display.tone) row.dataset.tone = display.tone;
  if (!display.icon) return;
  for (const use of row.querySelectorAll('use[data-field-icon], [data-field-icon] use'))
    patchIcon(use, display.icon);
}

/**
 * What `row` shows now.
 *
 * @param {HTMLElement} row
 */
export const shownIn = (row) => ({
  seq: Number(row.dataset.seq),
  status: row.dataset.status ?? '',
});
