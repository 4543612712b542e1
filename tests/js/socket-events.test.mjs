import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin } from './begin.mjs';
import { settle } from './fakes.mjs';

test('every second failed attempt asks whether the session still lives, and 401 ends it', async () => {
  const at = begin();
  at.sockets.fail();
  assert.equal(at.asked, 0);
  at.clock.pass(1);
  at.session = 'ended';
  at.sockets.fail();
  assert.equal(at.asked, 1);
  await settle();
  assert.equal(at.state(), 'signed-out');
  at.clock.pass(3600);
  assert.equal(at.sockets.attempts.length, 2);
  assert.equal(at.clock.waiting(), 0);
});

test('a refused connect asks at once; while the session lives or nobody knows, the attempts go on', async () => {
  for (const session of ['live', 'unknown']) {
    const at = begin({ session });
    at.sockets.fail('unauthorized', true);
    assert.equal(at.asked, 1);
    await settle();
    at.clock.pass(1);
    assert.equal(at.sockets.attempts.length, 2);
  }
});

test('a server that disconnects without a word is asked about the session', async () => {
  const at = begin({ session: 'ended' });
  at.sockets.succeed();
  at.sockets.drop('io server disconnect');
  assert.equal(at.state(), 'reconnecting');
  await settle();
  assert.equal(at.state(), 'signed-out');
});

test('session_ended stops everything until someone signs in again', () => {
  const { clock, sockets, connection, state } = begin();
  sockets.succeed();
  sockets.last.hear('session_ended', { reason: 'logout' });
  assert.equal(state(), 'signed-out');
  assert.equal(sockets.live.length, 0);
  clock.pass(3600);
  assert.equal(sockets.attempts.length, 1);
  connection.tell('signed-in');
  assert.equal(state(), 'connecting');
  assert.equal(sockets.attempts.length, 2);
});

test('a changed role signs nobody out: redraw, and a new socket at once', () => {
  const { sockets, published, state } = begin();
  sockets.succeed();
  sockets.last.hear('session_ended', { reason: 'role_changed' });
  assert.equal(sockets.live.length, 1);
  assert.equal(sockets.attempts.length, 2);
  assert.ok(published.some(({ name }) => name === 'portal:role-changed'));
  sockets.succeed();
  assert.equal(state(), 'connected');
});

test('a connection that looks open but does not answer is lost after 5 s', () => {
  const { clock, sockets, connection, state } = begin();
  sockets.succeed();
  sockets.answers = false;
  connection.tell('retry-now');
  clock.pass(4.9);
  assert.equal(state(), 'connected');
  clock.pass(0.1);
  assert.equal(state(), 'reconnecting');
});

test("server events are passed on under the page's names", () => {
  const { sockets, published } = begin();
  sockets.succeed();
  sockets.last.hear('job_progress', { job_id: 1 });
  sockets.last.hear('job_status_change', { job_id: 1 });
  sockets.last.hear('something_else', {});
  assert.deepEqual(
    published.map(({ name }) => name).filter((name) => name !== 'portal:connection'),
    ['portal:progress', 'portal:status'],
  );
});

test('that events are delayed is part of the state, and of each connection anew', () => {
  const { sockets, clock, published, connection } = begin();
  sockets.last.hear('live_delayed', { delayed: true }); // Said while the handshake ends.
  sockets.succeed();
  assert.equal(connection.snapshot().delayed, true);
  assert.equal(published.at(-1).detail.delayed, true);
  sockets.last.hear('live_delayed', { delayed: false });
  assert.equal(published.at(-1).detail.delayed, false);
  sockets.last.hear('live_delayed', { delayed: true });
  sockets.drop();
  assert.equal(connection.snapshot().delayed, false);
  clock.pass(1);
  sockets.succeed();
  assert.equal(connection.snapshot().delayed, false);
});

test('a hint that something was missed reaches the page', () => {
  const { sockets, published } = begin();
  sockets.succeed();
  sockets.last.hear('refresh', {});
  assert.deepEqual(published.at(-1), { name: 'portal:missed', detail: {} });
});
