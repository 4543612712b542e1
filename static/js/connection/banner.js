// Shows the connection in the badge, its panel and the strip, and has it read out where that helps.
// A state is put in words only once it lasts; the countdown is for the eye alone.

import { repeat } from '../lib/clock.js';
import { closest, find, setText } from '../lib/dom.js';
import {
  ANNOUNCE_AFTER,
  announcementFor,
  facts,
  LIVE_AFTER,
  SHOW_AFTER,
  WORDS,
} from './connection-words.js';
import { createStrip, mayTry } from './strip.js';

/** @import { Clock, ConnectionDetail, State, Timer } from '../lib/types.js' */

/**
 * @param {object} page
 * @param {HTMLElement} page.root #connection.
 * @param {Clock} page.clock
 * @param {() => void} page.tryNow is called by the buttons.
 * @param {() => number} page.lastData when the page last got data.
 * @param {() => string} page.nextPath where to return after signing in.
 */
export function createBanner({ root, clock, tryNow, lastData, nextPath }) {
  /** @param {string} name */
  const part = (name) => find(root, `[data-connection="${name}"]`);
  const [word, announcement, stripElement] = ['word', 'said', 'strip'].map(part);
  const strip = createStrip({ strip: stripElement, clock, lastData, nextPath });
  /** @type {ConnectionDetail} */
  let detail;
  let delayed = false; // As shown.
  /** @type {Timer[]} */
  let timers = [];
  /** @type {(() => void) | null} */
  let stopCounting = null;

  /**
   * @param {State} state
   * @param {string} value
   */
  function showWord(state, value) {
    root.dataset.shown = state;
    setText(word, value);
  }

  function fillPanel() {
    const known = facts({ ...detail, lastData: lastData() });
    for (const [name, value] of Object.entries(known)) setText(part(name), value);
  }

  /**
   * A loss that is mended within a second is never read out, nor is the "Connected" that ends it.
   *
   * @param {State} state
   * @param {number} delay in seconds.
   */
  function enterAfter(state, delay) {
    timers.push(
      clock.after(delay, () => showWord(state, WORDS[state].word)),
      clock.after(ANNOUNCE_AFTER, () => {
        setText(announcement, state === 'connecting' ? WORDS[state].word : '');
        strip.show(detail);
      }),
    );
  }

  /** @param {State} state */
  function enter(state) {
    for (const timer of timers) timer.cancel();
    timers = [];
    const delay = SHOW_AFTER[state];
    if (delay !== undefined) return enterAfter(state, delay);
    if (root.dataset.shown !== state || delayed) showWord(state, WORDS[state].word);
    setText(announcement, announcementFor(state, delayed));
    strip.show(detail);
    if (state !== 'connected' || delayed) return;
    timers.push(clock.after(LIVE_AFTER, () => showWord(state, 'Live')));
  }

  /** @param {ConnectionDetail} news */
  function follow(news) {
    detail = news;
    const before = delayed;
    delayed = news.state === 'connected' && Boolean(news.delayed);
    if (delayed) root.dataset.delayed = '';
    else delete root.dataset.delayed;
    if (news.state !== news.previous || delayed !== before) enter(news.state);
    else if (!stripElement.hidden) strip.show(detail);
    part('try').hidden = !mayTry(detail);
    fillPanel();
    stopCounting?.();
    stopCounting = mayTry(detail) ? repeat(clock, 1, () => strip.count(detail)) : null;
  }

  root.addEventListener('click', (event) => {
    if (closest(event, '[data-try-now]')) tryNow();
  });
  part('panel').addEventListener('toggle', () => {
    if (detail) fillPanel();
  });
  return { follow };
}
