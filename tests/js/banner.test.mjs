import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBanner } from '../../static/js/connection/banner.js';
import { fakeClock } from './fakes.mjs';
import { connectionMarkup, openWindow, writesTo } from './page.mjs';

function badge() {
  const clock = fakeClock();
  const { document } = openWindow(connectionMarkup());
  const root = document.getElementById('connection');
  const named = [...root.querySelectorAll('[data-connection]')];
  const parts = Object.fromEntries(named.map((part) => [part.dataset.connection, part]));
  const why = parts.strip.querySelector('[data-in="polling offline"]');
  const tryNow = parts.strip.querySelector('[data-try-now]');
  const at = { tries: 0 };
  const banner = createBanner({
    root,
    clock,
    tryNow: () => {
      at.tries += 1;
    },
    lastData: () => 0,
    nextPath: () => '/jobs?status=running',
  });
  let previous = null;
  const become = (state, more = {}) => {
    banner.follow({
      state,
      previous,
      since: 0,
      attempting: false,
      nextAttemptAt: null,
      roundTrip: null,
      reason: null,
      ...more,
    });
    previous = state;
  };
  return {
    at,
    clock,
    parts,
    why,
    tryNow,
    become,
    spoken: writesTo(parts.said),
    shown: () => root.dataset.shown,
  };
}

test('"Connecting…" is worth a word only after a second', () => {
  const { clock, parts, become } = badge();
  become('connecting');
  clock.pass(0.9);
  assert.equal(parts.word.textContent, '');
  clock.pass(0.1);
  assert.equal(parts.word.textContent, 'Connecting…');
  assert.equal(parts.said.textContent, 'Connecting…');
});

test('"Connected" becomes "Live" for the eye after 3 s, and is read out once', () => {
  const { clock, parts, spoken, become } = badge();
  become('connected');
  assert.equal(parts.word.textContent, 'Connected');
  clock.pass(3);
  assert.equal(parts.word.textContent, 'Live');
  assert.deepEqual(spoken, ['Connected']);
});

test('a blip under a second is not read out, and a hand-over between tabs is not even seen', () => {
  const { clock, parts, spoken, become } = badge();
  become('connected');
  clock.pass(10);
  become('reconnecting');
  clock.pass(0.2);
  become('connected');
  assert.equal(parts.word.textContent, 'Live');
  clock.pass(10);
  assert.deepEqual(spoken, ['Connected']);
  assert.equal(parts.strip.hidden, true);
});

test('a loss that lasts is put in words with a countdown, and its end is read out', () => {
  const { clock, parts, tryNow, spoken, become } = badge();
  become('connected');
  clock.pass(10);
  become('reconnecting', { nextAttemptAt: 14_000 });
  clock.pass(1);
  assert.equal(parts.text.textContent, 'Reconnecting…');
  assert.equal(parts.strip.hidden, false);
  assert.equal(parts.next.textContent, 'next try in 3 s');
  assert.equal(tryNow.hidden, false);
  clock.pass(1);
  assert.equal(parts.next.textContent, 'next try in 2 s');
  become('connected');
  assert.equal(parts.strip.hidden, true);
  assert.equal(parts.said.textContent, 'Connected');
  assert.deepEqual(spoken, ['Connected', '', 'Connected']);
});

test('a connection whose events are delayed stays connected and says so, once for the ear', () => {
  const { clock, parts, why, shown, spoken, become } = badge();
  become('connected');
  clock.pass(10);
  become('connected', { delayed: true });
  become('connected', { delayed: true, roundTrip: 3 });
  assert.equal(shown(), 'connected');
  assert.equal(parts.word.textContent, 'Connected');
  assert.equal(parts.strip.hidden, false);
  assert.equal(parts.text.textContent, 'Live updates are delayed');
  assert.equal(why.hidden, true);
  assert.equal(parts.said.textContent, 'Live updates are delayed');
  assert.deepEqual(spoken, ['Connected', 'Live updates are delayed']);
  become('connected');
  assert.equal(parts.strip.hidden, true);
  assert.equal(parts.said.textContent, 'Connected');
  clock.pass(3);
  assert.equal(parts.word.textContent, 'Live');
});

test('polling without any WebSocket offers the reason and no attempt', () => {
  const { parts, why, tryNow, become } = badge();
  become('polling');
  assert.equal(parts.text.textContent, 'Using polling mode (WebSocket unavailable)');
  assert.equal(why.hidden, false);
  assert.equal(tryNow.hidden, true);
  assert.equal(parts.next.textContent, '');
});

test('signing in leads back to this very page', () => {
  const { parts, become } = badge();
  become('signed-out');
  assert.equal(parts.text.textContent, 'You are signed out – ');
  assert.equal(parts['sign-in'].getAttribute('href'), '/login?next=%2Fjobs%3Fstatus%3Drunning');
});

test('nothing ticks where nothing is awaited', () => {
  const { clock, become } = badge();
  become('reconnecting', { nextAttemptAt: 5000 });
  become('connected');
  clock.pass(4);
  assert.equal(clock.waiting(), 0);
});

test('every "Try now" tries, that of the strip and that of the panel', () => {
  const { at, parts, tryNow, become } = badge();
  become('polling', { nextAttemptAt: 5000 });
  tryNow.click();
  parts.try.click();
  assert.equal(at.tries, 2);
});
