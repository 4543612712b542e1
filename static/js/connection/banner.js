// Shows the connection in the badge, its panel and the strip, and has it read out where that helps.
// A state is put in words only once it lasts; the countdown is for the eye alone.

import { at } from '../lib/base.js';
import { repeat } from '../lib/clock.js';
import {
  ANNOUNCE_AFTER,
  countdown,
  DELAYED,
  facts,
  LIVE_AFTER,
  PATIENCE,
  stripText,
  WORDS,
} from './connection-words.js';

const TRIES = new Set(['reconnecting', 'polling', 'offline']);

/** `root` is #connection; `tryNow` is called by its buttons; `nextPath()` is where to return after signing in. */
export function createBanner({ root, clock, tryNow, lastData, nextPath }) {
  const part = (name) => root.querySelector(`[data-connection="${name}"]`);
  const [word, said, strip, text, next] = ['word', 'said', 'strip', 'text', 'next'].map(part);
  let detail = null;
  let delayed = false; // As shown.
  let timers = [];
  let stopCounting = null;

  const set = (element, value) => {
    if (element.textContent !== value) element.textContent = value;
  };

  const mayTry = () =>
    TRIES.has(detail.state) && (detail.attempting || detail.nextAttemptAt !== null);

  function showWord(state, value) {
    root.dataset.shown = state;
    set(word, value);
  }

  function showStrip() {
    const value = stripText(detail.state, lastData(), delayed);
    strip.hidden = value === null;
    if (value === null) return;
    set(text, value);
    for (const choice of strip.querySelectorAll('[data-in]')) {
      choice.hidden = !choice.dataset.in.split(' ').includes(detail.state);
    }
    strip.querySelector('[data-try-now]').hidden = !mayTry();
    part('sign-in').href = at(`/login?next=${encodeURIComponent(nextPath())}`);
    count();
  }

  function count() {
    next.textContent = mayTry() ? countdown(detail, clock.wall()) : '';
  }

  function fillPanel() {
    const known = facts({ ...detail, lastData: lastData() });
    for (const [name, value] of Object.entries(known)) set(part(name), value);
  }

  function spoken(state) {
    if (state !== 'connected') return '';
    return delayed ? DELAYED : WORDS[state].word;
  }

  function enter(state) {
    for (const timer of timers) timer.cancel();
    const patient = PATIENCE[state] ?? 0;
    const later = (seconds, act) => clock.after(seconds, act);
    // A loss that is mended within a second is never read out, nor is the "Connected" that ends it.
    timers =
      state in PATIENCE
        ? [
            later(patient, () => showWord(state, WORDS[state].word)),
            later(ANNOUNCE_AFTER, () => {
              set(said, state === 'connecting' ? WORDS[state].word : '');
              showStrip();
            }),
          ]
        : [];
    if (state in PATIENCE) return;
    if (root.dataset.shown !== state || delayed) showWord(state, WORDS[state].word);
    set(said, spoken(state));
    showStrip();
    if (state === 'connected' && !delayed)
      timers.push(later(LIVE_AFTER, () => showWord(state, 'Live')));
  }

  function follow(news) {
    detail = news;
    const before = delayed;
    delayed = news.state === 'connected' && Boolean(news.delayed);
    if (delayed) root.dataset.delayed = '';
    else delete root.dataset.delayed;
    if (news.state !== news.previous || delayed !== before) enter(news.state);
    else if (!strip.hidden) showStrip();
    part('try').hidden = !mayTry();
    fillPanel();
    stopCounting?.();
    stopCounting = mayTry() ? repeat(clock, 1, count) : null;
  }

  root.addEventListener('click', (event) => event.target.closest('[data-try-now]') && tryNow());
  part('panel').addEventListener('toggle', () => detail && fillPanel());
  return { follow };
}
