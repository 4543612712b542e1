import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRefresh } from '../../static/js/connection/refresh.js';
import { fakeClock } from './fakes.mjs';

function page() {
  const clock = fakeClock();
  const times = [];
  const at = { current: true };
  const refresh = createRefresh({
    clock,
    random: () => 0,
    dispatch: () => times.push(clock.now()),
    isCurrent: async () => at.current,
  });
  const walk = (...states) =>
    states.reduce((previous, state) => {
      refresh.follow({ state, previous });
      return state;
    }, null);
  return { at, clock, times, refresh, walk };
}

test('many causes within a moment make one refetch', () => {
  const { clock, times, refresh } = page();
  for (let i = 0; i < 50; i += 1) refresh.soon();
  clock.pass(1);
  assert.deepEqual(times, [0.3]);
});

test('a storm of causes makes at most one refetch a second, and the last one is not lost', () => {
  const { clock, times, refresh } = page();
  for (let i = 0; i < 100; i += 1) {
    refresh.soon();
    clock.pass(0.1);
  }
  clock.pass(5);
  assert.ok(times.length <= 11, `${times.length} refetches in 10 s`);
  assert.ok(times.at(-1) >= 10);
});

test('what every page learns at once is fetched at different moments', () => {
  const delays = [0, 0.5, 1].map((chance) => {
    const clock = fakeClock();
    const times = [];
    const refresh = createRefresh({
      clock,
      random: () => chance,
      dispatch: () => times.push(clock.now()),
      isCurrent: async () => true,
    });
    refresh.everybody();
    clock.pass(5);
    return times;
  });
  assert.deepEqual(delays, [[0.3], [1.3], [2.3]]);
});

test('the very first connection refetches if something happened while the page loaded', async () => {
  const { at, clock, times, walk } = page();
  at.current = false;
  walk('connecting', 'connected');
  await Promise.resolve();
  await Promise.resolve();
  clock.pass(1);
  assert.equal(times.length, 1);
});

test('the very first connection does not refetch', () => {
  const { times, walk } = page();
  walk('connecting', 'connected');
  assert.equal(times.length, 0);
});

test('a tab that hears of a connection that stands already does not refetch', () => {
  const { times, walk } = page();
  walk('connected');
  assert.equal(times.length, 0);
});

test('every later entry into connected refetches at once, by whatever way it came', () => {
  for (const way of [
    ['connected', 'reconnecting', 'connected'],
    ['connecting', 'polling', 'connected'],
    ['connecting', 'polling', 'offline', 'connected'],
    ['connected', 'signed-out', 'connecting', 'connected'],
  ]) {
    const { times, walk } = page();
    walk(...way);
    assert.equal(times.length, 1, way.join(' → '));
  }
});
