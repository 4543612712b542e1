// The dialog beside source and destination: opens on what the field holds, goes through folders by
// mouse or keys, and puts what was chosen into the field. Its contents come from the server; without
// JavaScript a path is typed.

import { at } from '../lib/base.js';
import { closest, find, findAll, findOptional } from '../lib/dom.js';
import { followKeys, ROWS } from './browse-keys.js';

/** @import { Htmx, RequestDetail } from '../lib/types.js' */

/** @param {{ document: Document, htmx: Htmx }} page */
export function initBrowse({ document, htmx }) {
  /** @type {HTMLDialogElement | null} */
  const dialog = findOptional(document, 'dialog#browse');
  if (dialog) fillDialog(document, htmx, dialog);
}

/**
 * @param {Document} document
 * @param {Htmx} htmx
 * @param {HTMLDialogElement} dialog
 */
function fillDialog(document, htmx, dialog) {
  const panel = find(dialog, '#browse-panel');
  const said = find(dialog, '#browse-said');
  /** @type {HTMLInputElement} */
  let field;
  /** @type {number | null} The place among the rows whose "Show more" is about to be replaced. */
  let leaving = null;

  const rows = () => findAll(panel, ROWS);

  /** @param {HTMLElement} button */
  function open(button) {
    const { browse: side = '', title = '' } = button.dataset;
    field = find(document, `#${side}`);
    find(dialog, '#browse-title').textContent = title;
    panel.replaceChildren();
    dialog.showModal();
    const query = new URLSearchParams({ side, at: field.value.trim() });
    htmx
      .ajax('GET', at(`/browse?${query}`), { source: panel, target: panel, swap: 'innerHTML' })
      .catch(() => {});
  }

  /** @param {string} text */
  function choose(text) {
    field.value = text;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    dialog.close();
  }

  function close() {
    htmx.trigger(panel, 'htmx:abort'); // An answer that is late must not reach the other field.
    field?.focus();
  }

  /**
   * What was pressed is gone with the old contents; the keys must find their place in the new ones.
   *
   * @param {CustomEvent<RequestDetail>} event
   */
  function settle({ detail: { target, xhr } }) {
    const words = panel.querySelector('.browse-problem, #browse-line')?.textContent;
    said.textContent = words?.trim() ?? '';
    if (target !== panel) rows()[leaving ?? -1]?.focus();
    else if (xhr.status < 400) {
      const button = findOptional(panel, '[data-choose-here]') ?? findOptional(panel, 'button');
      (rows()[0] ?? button)?.focus();
    }
    leaving = null;
  }

  /** @param {string} words */
  const failed = (words) => () => {
    panel.textContent = said.textContent = words;
  };

  for (const button of findAll(document, '[data-browse]')) {
    button.hidden = false;
    button.addEventListener('click', () => open(button));
  }
  dialog.addEventListener('click', (event) => {
    const chosen = closest(event, '[data-choose]')?.dataset.choose;
    if (chosen !== undefined) choose(chosen);
    if (closest(event, '[data-close]')) dialog.close();
  });
  dialog.addEventListener('close', close);
  followKeys(panel, rows);
  panel.addEventListener('htmx:beforeRequest', () => {
    said.textContent = 'Looking…';
  });
  panel.addEventListener('htmx:beforeSwap', ({ detail: { target } }) => {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const isLeaving = focused && target !== panel && target.contains(focused);
    leaving = isLeaving ? rows().indexOf(focused) : null;
  });
  panel.addEventListener('htmx:afterSwap', settle);
  panel.addEventListener('htmx:sendError', failed('There was no answer. Try again.'));
  panel.addEventListener('htmx:timeout', failed('There was no answer in time. Try again.'));
}
