import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBanner } from '../../static/js/connection/banner.js';
import { element } from './elements.mjs';
import { fakeClock } from './fakes.mjs';

const PARTS = [
  'word',
  'said',
  'strip',
  'text',
  'next',
  'sign-in',
  'try',
  'panel',
  'since',
  'transport',
  'roundTrip',
  'lastData',
  'reason',
];

function badge() {
  const clock = fakeClock();
  const parts = Object.fromEntries(PARTS.map((name) => [name, element()]));
  parts.panel.addEventListener = () => {};
  parts.strip.hidden = true;
  const why = Object.assign(element(), { dataset: { in: 'polling offline' } });
  const tryNow = Object.assign(element(), { dataset: { in: 'reconnecting polling offline' } });
  parts.strip.slots = { '[data-in]': [why, tryNow], '[data-try-now]': [tryNow] };
  const root = element(
    {},
    Object.fromEntries(PARTS.map((name) => [`[data-connection="${name}"]`, [parts[name]]])),
  );
  root.addEventListener = () => {};
  const banner = createBanner({
    root,
    clock,
    tryNow() {},
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
  return { clock, parts, why, tryNow, become, shown: () => root.dataset.shown };
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
  const { clock, parts, become } = badge();
  become('connected');
  assert.equal(parts.word.textContent, 'Connected');
  clock.pass(3);
  assert.equal(parts.word.textContent, 'Live');
  assert.equal(parts.said.writes, 1);
});

test('a blip under a second is not read out, and a hand-over between tabs is not even seen', () => {
  const { clock, parts, become } = badge();
  become('connected');
  clock.pass(10);
  become('reconnecting');
  clock.pass(0.2);
  become('connected');
  assert.equal(parts.word.textContent, 'Live');
  clock.pass(10);
  assert.equal(parts.said.writes, 1);
  assert.equal(parts.strip.hidden, true);
});

test('a loss that lasts is put in words with a countdown, and its end is read out', () => {
  const { clock, parts, tryNow, become } = badge();
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
  assert.equal(parts.said.writes, 3);
});

test('a connection whose events are delayed stays connected and says so, once for the ear', () => {
  const { clock, parts, why, shown, become } = badge();
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
  assert.equal(parts.said.writes, 2);
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
  assert.equal(parts['sign-in'].href, '/login?next=%2Fjobs%3Fstatus%3Drunning');
});

test('nothing ticks where nothing is awaited', () => {
  const { clock, become } = badge();
  become('reconnecting', { nextAttemptAt: 5000 });
  become('connected');
  clock.pass(4);
  assert.equal(clock.waiting(), 0);
});
