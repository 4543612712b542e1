import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin } from './begin.mjs';

test('the first attempt begins at once, and success subscribes', () => {
  const { sockets, state } = begin();
  assert.deepEqual(sockets.attempts, [0]);
  sockets.succeed();
  assert.equal(state(), 'connected');
  assert.equal(sockets.asked, 1);
});

/** Fails every attempt the moment it begins; the seconds from each failure to the next attempt. */
function measuredDelays({ clock, sockets }, count) {
  const delays = [];
  while (delays.length < count) {
    sockets.fail();
    const from = clock.now();
    const before = sockets.attempts.length;
    while (sockets.attempts.length === before) clock.pass(0.25);
    delays.push(clock.now() - from);
  }
  return delays;
}

test('a first connection that is refused is tried again for ever, from the third failure on behind polling', () => {
  const at = begin();
  at.sockets.fail();
  at.clock.pass(1);
  at.sockets.fail();
  assert.equal(at.state(), 'connecting');
  at.clock.pass(2);
  at.sockets.fail();
  assert.equal(at.state(), 'polling');
  at.clock.pass(4);
  assert.deepEqual(measuredDelays(at, 5), [8, 16, 30, 30, 30]);
  at.sockets.succeed();
  assert.equal(at.state(), 'connected');
});

test('after a loss the delays are 1, 2, 4, 8, 16, 30, 30 … seconds and start anew after a success', () => {
  const at = begin();
  for (let i = 0; i < 2; i += 1) {
    at.sockets.succeed();
    at.clock.pass(60);
    at.sockets.drop();
    assert.equal(at.state(), 'reconnecting');
    at.clock.pass(1);
    assert.deepEqual(measuredDelays(at, 7), [2, 4, 8, 16, 30, 30, 30]);
    assert.equal(at.state(), 'polling');
  }
});

test('an attempt that nobody answers is given up after 5 s, and its late success means nothing', () => {
  const { clock, sockets, state } = begin();
  const swallowed = sockets.last;
  clock.pass(5);
  assert.equal(sockets.live.length, 0);
  swallowed.hear('open');
  assert.equal(state(), 'connecting');
  clock.pass(1);
  assert.equal(sockets.attempts.length, 2);
});

test('a proxy that swallows the upgrade does not hold the page: polling after 10 s', () => {
  const { clock, state } = begin();
  clock.pass(9.9);
  assert.equal(state(), 'connecting');
  clock.pass(0.1);
  assert.equal(state(), 'polling');
});

test('without WebSocket the page polls at once and never attempts', () => {
  const { clock, sockets, connection, state } = begin({ supported: false });
  assert.equal(state(), 'polling');
  clock.pass(3600);
  connection.tell('retry-now');
  assert.deepEqual(sockets.attempts, []);
  connection.tell('poll-failed');
  assert.equal(state(), 'offline');
  connection.tell('poll-succeeded');
  assert.equal(state(), 'polling');
});

test('"Try now" attempts at once, once, and begins the waits anew', () => {
  const { clock, sockets, connection } = begin();
  for (let i = 0; i < 5; i += 1) {
    sockets.fail();
    clock.pass(30);
  }
  sockets.fail();
  const count = sockets.attempts.length;
  connection.tell('retry-now');
  connection.tell('retry-now');
  assert.equal(sockets.attempts.length, count + 1);
  sockets.fail();
  clock.pass(1);
  assert.equal(sockets.attempts.length, count + 2);
});

test('asking again while an answer is awaited does not put off the end of a dead connection', () => {
  const { clock, sockets, connection, state } = begin();
  sockets.succeed();
  sockets.answers = false;
  for (let i = 0; i < 5; i += 1) {
    assert.equal(state(), 'connected');
    connection.tell('retry-now');
    clock.pass(1);
  }
  assert.equal(state(), 'reconnecting');
});

test("a new leader takes over from the old one's snapshot and counts as lost", () => {
  const { sockets, connection, state } = begin();
  connection.close();
  connection.start({ state: 'connected', attempts: 0, since: 0 });
  assert.equal(state(), 'reconnecting');
  assert.equal(sockets.live.length, 1);
  sockets.succeed();
  assert.equal(state(), 'connected');
});

test('whatever happens: one attempt or timer at most, and never stuck without either', () => {
  let seed = 1;
  const dice = (sides) => {
    seed = (seed * 48271) % 2147483647;
    return seed % sides;
  };
  const at = begin();
  const acts = [
    () => at.sockets.succeed(),
    () => at.sockets.fail(),
    () => at.sockets.drop(),
    () => at.sockets.drop('ping timeout'),
    () => at.connection.tell('retry-now'),
    () => at.connection.tell('poll-failed'),
    () => at.connection.tell('poll-succeeded'),
    () => at.sockets.last.hear('session_ended', { reason: 'role_changed' }),
    () => at.clock.pass(dice(40)),
    () => at.clock.pass(dice(10) / 10),
  ];
  for (let i = 0; i < 20_000; i += 1) {
    acts[dice(acts.length)]();
    assert.ok(at.sockets.live.length <= 1, 'two sockets');
    assert.ok(at.connection.pending() <= 2, 'more than one socket and its limit');
    assert.ok(at.connection.pending() >= 1, `stuck in ${at.state()}`);
  }
});
