import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIRST, next } from '../../static/js/connection/connection-state.js';

// Every state by every event; '.' means that the event changes nothing. The counts: one failure before, none reset.
const EVENTS = [
  'open',
  'attempt-failed',
  'lost',
  'deadline',
  'unsupported',
  'poll-failed',
  'poll-succeeded',
  'session-ended',
  'role-changed',
  'signed-in',
];
const EXPECTED = {
  //               open         attempt-failed  lost            deadline   unsupported poll-failed poll-succeeded session-ended role-changed    signed-in
  connecting: [
    'connected',
    'connecting',
    '.',
    'polling',
    'polling',
    '.',
    '.',
    'signed-out',
    'connecting',
    '.',
  ],
  connected: ['.', '.', 'reconnecting', '.', '.', '.', '.', 'signed-out', 'reconnecting', '.'],
  reconnecting: ['connected', 'reconnecting', '.', '.', '.', '.', '.', 'signed-out', '.', '.'],
  polling: ['connected', 'polling', '.', '.', '.', 'offline', '.', 'signed-out', '.', '.'],
  offline: ['connected', 'offline', '.', '.', '.', '.', 'polling', 'signed-out', '.', '.'],
  'signed-out': ['.', '.', '.', '.', '.', '.', '.', '.', '.', 'connecting'],
};

for (const [state, row] of Object.entries(EXPECTED)) {
  EVENTS.forEach((event, column) => {
    const expected = row[column];
    test(`${state} on ${event}: ${expected === '.' ? 'nothing changes' : expected}`, () => {
      const record = { state, failures: 1 };
      const after = next(record, event);
      if (expected === '.') assert.equal(after, record);
      else assert.equal(after.state, expected);
    });
  });
}

test('an event that nobody knows changes nothing', () => {
  assert.equal(next(FIRST, 'toString'), FIRST);
});

const run = (record, ...events) => events.reduce(next, record);

test('the first connection that fails three times in a row ends in polling', () => {
  assert.deepEqual(run(FIRST, 'attempt-failed', 'attempt-failed'), {
    state: 'connecting',
    failures: 2,
  });
  assert.deepEqual(run(FIRST, 'attempt-failed', 'attempt-failed', 'attempt-failed'), {
    state: 'polling',
    failures: 3,
  });
});

test('a lost connection that fails three times ends in polling, and counts from its loss', () => {
  const lost = run(FIRST, 'attempt-failed', 'attempt-failed', 'open', 'lost');
  assert.deepEqual(lost, { state: 'reconnecting', failures: 0 });
  assert.equal(run(lost, 'attempt-failed', 'attempt-failed').state, 'reconnecting');
  assert.equal(run(lost, 'attempt-failed', 'attempt-failed', 'attempt-failed').state, 'polling');
});

test('success from anywhere but signed-out is connected with no failure left', () => {
  for (const state of ['connecting', 'reconnecting', 'polling', 'offline']) {
    assert.deepEqual(next({ state, failures: 7 }, 'open'), { state: 'connected', failures: 0 });
  }
});
