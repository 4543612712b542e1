// The log of a job, followed: it stays at its end while the reader is there, and waits while they read further up.
// New lines come by htmx, which asks after the last one; see jobs/_log_tail.html.

import { find, setText } from '../lib/dom.js';

/** @import { State } from '../lib/types.js' */

const END_PIXELS = 24; // Pixels from the end that still count as there.
const MAX_LINES = 2000; // Shown at a time; older ones leave at the top, in lots.
const REMOVED_AT_ONCE = 500;
const WORDS = {
  following: 'Following',
  paused: 'Paused while you read – scroll to the end to continue',
  ended: 'Complete',
};
/** @type {Set<State>} */
const OFF = new Set(['offline', 'signed-out']);

/**
 * Whether the tail may ask for more now.
 *
 * @param {{ paused: boolean, hidden: boolean, folded: boolean, connection: State }} page
 */
export function mayAsk({ paused, hidden, folded, connection }) {
  return !(paused || hidden || folded || OFF.has(connection));
}

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {HTMLElement} page.box scrolls and holds the lines and, last, the element that asks.
 * @param {() => State} page.connection is the page's state.
 */
export function initLog({ document, box, connection }) {
  const status = find(document, '[data-log-status]');
  const follow = find(document, '[data-log-follow]');
  let paused = false;

  const live = () => box.querySelector('#log-tail[hx-get]') !== null;
  const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight <= END_PIXELS;
  const toEnd = () => {
    box.scrollTop = box.scrollHeight;
  };

  function show() {
    const state = live() ? (paused ? 'paused' : 'following') : 'ended';
    setText(status, WORDS[state]);
    follow.hidden = state !== 'paused';
  }

  function grown() {
    if (!paused) {
      if (box.childElementCount > MAX_LINES) {
        for (const line of [...box.children].slice(0, REMOVED_AT_ONCE)) line.remove();
      }
      toEnd();
    }
    show();
  }

  box.addEventListener('scroll', () => {
    paused = !isAtEnd();
    show();
  });
  follow.addEventListener('click', () => {
    paused = false;
    toEnd();
    show();
    box.focus();
  });
  document.addEventListener('htmx:beforeRequest', (event) => {
    if (event.detail.elt.id !== 'log-tail') return;
    const folded = box.closest('details')?.open === false;
    if (!mayAsk({ paused, hidden: document.hidden, folded, connection: connection() }))
      event.preventDefault();
  });
  box.closest('details')?.addEventListener('toggle', () => paused || toEnd());
  new MutationObserver(grown).observe(box, { childList: true });
  grown();
}
