import assert from 'node:assert/strict';
import { test } from 'node:test';
import { followLifecycle } from '../../static/js/connection/lifecycle.js';
import { fakeClock } from './fakes.mjs';
import { openWindow } from './page.mjs';

function tab(state = 'connected') {
  const clock = fakeClock();
  const window = openWindow();
  const { document } = window;
  let hidden = false; // Nothing hides a page of happy-dom.
  Object.defineProperty(document, 'hidden', { get: () => hidden });
  const at = { clock, calls: [] };
  const note =
    (name) =>
    (...args) =>
      at.calls.push([name, ...args].join(' '));
  const share = {
    start: note('start'),
    suspend: note('suspend'),
    tell: note('tell'),
    state: () => state,
  };
  followLifecycle({
    document,
    window,
    clock,
    share,
    returned: note('refetch'),
    looked: note('look'),
  });
  at.hide = () => {
    hidden = true;
    at.doc('visibilitychange');
  };
  at.show = () => {
    hidden = false;
    at.doc('visibilitychange');
  };
  at.fire = (name, detail = {}) =>
    window.dispatchEvent(Object.assign(new window.Event(name), detail));
  at.doc = (name) => document.dispatchEvent(new window.Event(name));
  return at;
}

test('a tab hidden for over a minute refetches when it is looked at again', () => {
  const { clock, calls, hide, show } = tab();
  hide();
  clock.pass(61);
  show();
  assert.ok(calls.includes('refetch'));
});

test('a tab hidden for less only makes sure of its connection', () => {
  const { clock, calls, hide, show } = tab();
  hide();
  clock.pass(59);
  show();
  assert.deepEqual(calls, ['tell retry-now', 'look']);
});

test('a page that is left lets go of everything, and one that comes back takes part and refetches', () => {
  const { calls, fire } = tab();
  fire('pagehide', { persisted: true });
  fire('pageshow', { persisted: true });
  assert.deepEqual(calls, ['suspend', 'start', 'refetch']);
});

test('the first show of a page is no return', () => {
  const { calls, fire } = tab();
  fire('pageshow', { persisted: false });
  assert.deepEqual(calls, []);
});

test('a frozen tab that is thawed does the same, once', () => {
  const { calls, doc, fire } = tab();
  doc('freeze');
  fire('pagehide', { persisted: true });
  doc('resume');
  fire('pageshow', { persisted: true });
  assert.deepEqual(calls, ['suspend', 'start', 'refetch']);
});

test('back on the network means an attempt at once; off it, doubt only of a connection that seems to stand', () => {
  const standing = tab('connected');
  standing.fire('offline');
  assert.deepEqual(standing.calls, ['tell retry-now']);
  const broken = tab('reconnecting');
  broken.fire('offline');
  assert.deepEqual(broken.calls, []);
  broken.fire('online');
  assert.deepEqual(broken.calls, ['tell retry-now']);
});
