// The strip across the page while something is amiss with the connection: what it is, when the next
// attempt begins, and what can be done.

import { at } from '../lib/base.js';
import { find, findAll, setText } from '../lib/dom.js';
import { countdown, stripText } from './connection-words.js';

/** @import { Clock, ConnectionDetail, State } from '../lib/types.js' */

/** @type {Set<State>} */
const TRIES = new Set(['reconnecting', 'polling', 'offline']);

/**
 * Whether there is an attempt to wait for or to begin at once.
 *
 * @param {ConnectionDetail} detail
 */
export const mayTry = ({ state, attempting, nextAttemptAt }) =>
  TRIES.has(state) && (attempting || nextAttemptAt !== null);

/**
 * @param {object} page
 * @param {HTMLElement} page.strip
 * @param {Clock} page.clock
 * @param {() => number} page.lastData when the page last got data.
 * @param {() => string} page.nextPath where to return after signing in.
 */
export function createStrip({ strip, clock, lastData, nextPath }) {
  const text = find(strip, '[data-connection="text"]');
  const next = find(strip, '[data-connection="next"]');
  /** @type {HTMLAnchorElement} */
  const signIn = find(strip, '[data-connection="sign-in"]');

  /** @param {ConnectionDetail} detail */
  function show(detail) {
    const value = stripText(detail.state, lastData(), detail.delayed);
    strip.hidden = value === null;
    if (value === null) return;
    setText(text, value);
    for (const choice of findAll(strip, '[data-in]')) {
      choice.hidden = !choice.dataset.in?.split(' ').includes(detail.state);
    }
    find(strip, '[data-try-now]').hidden = !mayTry(detail);
    signIn.href = at(`/login?next=${encodeURIComponent(nextPath())}`);
    count(detail);
  }

  /** @param {ConnectionDetail} detail */
  function count(detail) {
    next.textContent = mayTry(detail) ? countdown(detail, clock.wall()) : '';
  }

  return { show, count };
}
