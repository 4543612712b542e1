// The dialog beside source and destination: opens on what the field holds, goes through folders by mouse or keys,
// and puts what was chosen into the field. Its contents come from the server; without JavaScript a path is typed.

import { at } from '../lib/base.js';
import { typedAhead } from './type-ahead.js';

const ROWS = '.browse-row:is(button), [data-more]';
const PAGE = 10; // Rows that the page keys go over.

/** The row to focus for a key, or null where the key means something else. */
export function nextRow(rows, current, key) {
  const at = rows.indexOf(current);
  const to = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + PAGE,
    PageUp: at - PAGE,
    Home: 0,
    End: rows.length - 1,
  }[key];
  return to === undefined ? null : (rows[Math.max(0, Math.min(rows.length - 1, to))] ?? null);
}

export function initBrowse({ document, htmx }) {
  const dialog = document.getElementById('browse');
  if (!dialog) return;
  const panel = dialog.querySelector('#browse-panel');
  const said = dialog.querySelector('#browse-said');
  const ahead = typedAhead();
  let field = null;
  let leaving = null; // The place among the rows whose "Show more" is about to be replaced.

  const rows = () => [...panel.querySelectorAll(ROWS)];

  function open(button) {
    field = document.getElementById(button.dataset.browse);
    dialog.querySelector('#browse-title').textContent = button.dataset.title;
    panel.replaceChildren();
    dialog.showModal();
    const query = new URLSearchParams({ side: button.dataset.browse, at: field.value.trim() });
    htmx
      .ajax('GET', at(`/browse?${query}`), { source: panel, target: panel, swap: 'innerHTML' })
      .catch(() => {});
  }

  function choose(text) {
    field.value = text;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    dialog.close();
  }

  function close() {
    htmx.trigger(panel, 'htmx:abort'); // An answer that is late must not reach the other field.
    field?.focus();
  }

  /** A name begun on a row leads to the next such row; of one that is not shown, the search goes on. */
  function find(event) {
    const begun = ahead.add(event.key, event.timeStamp);
    const names = rows().map((row) => row.querySelector('.browse-name')?.textContent.trim() ?? '');
    const row = rows()[ahead.next(names, rows().indexOf(event.target))];
    const search = panel.querySelector('#browse-q');
    if (row) row.focus();
    else if (search && panel.querySelector('[data-more]')) {
      search.focus();
      search.value = begun;
      search.dispatchEvent(new Event('input', { bubbles: true }));
    } else return;
    event.preventDefault();
  }

  function press(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches('input')) {
      if (key !== 'ArrowDown') return;
    } else if (key === 'Backspace' || key === 'ArrowLeft') {
      panel.querySelector('[data-up]')?.click();
      event.preventDefault();
      return;
    } else if (key === 'ArrowRight' && target.matches('[data-open]')) {
      target.click();
      event.preventDefault();
      return;
    } else if (
      key.length === 1 &&
      target.matches(ROWS) &&
      (key !== ' ' || ahead.isOpen(event.timeStamp))
    ) {
      find(event);
      return;
    }
    const row = nextRow(rows(), target, key);
    if (!row) return;
    row.focus();
    event.preventDefault();
  }

  // What was pressed is gone with the old contents; the keys must find their place in the new ones.
  function settle({ detail: { target, xhr } }) {
    said.textContent =
      panel.querySelector('.browse-problem, #browse-line')?.textContent.trim() ?? '';
    if (target !== panel) rows()[leaving]?.focus();
    else if (xhr.status < 400)
      (
        panel.querySelector(ROWS) ??
        panel.querySelector('[data-choose-here]') ??
        panel.querySelector('button')
      )?.focus();
    leaving = null;
  }

  for (const button of document.querySelectorAll('[data-browse]')) {
    button.hidden = false;
    button.addEventListener('click', () => open(button));
  }
  dialog.addEventListener('click', (event) => {
    const chosen = event.target.closest('[data-choose]');
    if (chosen) choose(chosen.dataset.choose);
    if (event.target.closest('[data-close]')) dialog.close();
  });
  dialog.addEventListener('close', close);
  panel.addEventListener('keydown', press);
  panel.addEventListener('htmx:beforeRequest', () => {
    said.textContent = 'Looking…';
  });
  panel.addEventListener('htmx:beforeSwap', ({ detail: { target } }) => {
    leaving =
      target !== panel && target.contains(document.activeElement)
        ? rows().indexOf(document.activeElement)
        : null;
  });
  panel.addEventListener('htmx:afterSwap', settle);
  const failed = (words) => () => {
    panel.textContent = said.textContent = words;
  };
  panel.addEventListener('htmx:sendError', failed('There was no answer. Try again.'));
  panel.addEventListener('htmx:timeout', failed('There was no answer in time. Try again.'));
}
