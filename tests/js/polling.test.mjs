import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPolling } from '../../static/js/connection/polling.js';
import { fakeClock, settle } from './fakes.mjs';
import { jobRow } from './page.mjs';

function page({ jobs = [1, 2], regions = true, answer = async () => {}, session = 'live' } = {}) {
  const clock = fakeClock();
  const at = { clock, polled: [], pages: [], told: [] };
  at.polling = createPolling({
    clock,
    activeRows: () => jobs.map((job) => jobRow({ job })),
    fetchRow: (row) => {
      at.polled.push([clock.now(), row.dataset.job]);
      return answer(row);
    },
    fetchPage: () => {
      at.pages.push(clock.now());
      return regions;
    },
    askSession: async () => session,
    tell: (event) => at.told.push(event),
  });
  at.become = (state, delayed = false) => at.polling.follow({ state, delayed });
  return at;
}

test('polling fetches each running job every 2 s and the regions every 5 s, from the first moment', async () => {
  const { clock, polled, pages, become } = page();
  become('polling');
  for (let i = 0; i < 10; i += 1) {
    await settle();
    clock.pass(1);
  }
  assert.deepEqual(
    polled.filter(([, job]) => job === '1').map(([time]) => time),
    [0, 2, 4, 6, 8, 10],
  );
  assert.deepEqual(polled.filter(([, job]) => job === '2').length, 6);
  assert.deepEqual(pages, [0, 5, 10]);
});

test('nothing is polled in any other state, and polling stops when the way is free', async () => {
  const { clock, polled, pages, become } = page();
  for (const state of ['connecting', 'connected', 'reconnecting', 'signed-out']) {
    become(state);
    clock.pass(10);
  }
  assert.equal(polled.length + pages.length, 0);
  become('polling');
  become('polling');
  become('connected');
  const count = polled.length;
  clock.pass(60);
  assert.equal(polled.length, count);
  assert.equal(clock.waiting(), 0);
});

test('a connection whose events are delayed polls beside, until they come again', async () => {
  const { clock, polled, pages, become } = page();
  become('connected', true);
  for (let i = 0; i < 5; i += 1) {
    await settle();
    clock.pass(1);
  }
  assert.deepEqual(
    polled.filter(([, job]) => job === '1').map(([time]) => time),
    [0, 2, 4],
  );
  assert.deepEqual(pages, [0, 5]);
  become('connected');
  assert.equal(clock.waiting(), 0);
});

test('a job is never asked for twice at a time', async () => {
  let release;
  const { clock, polled, become } = page({
    jobs: [1],
    answer: () =>
      new Promise((resolve) => {
        release = resolve;
      }),
  });
  become('polling');
  clock.pass(20);
  assert.equal(polled.length, 1);
  release();
  await settle();
  clock.pass(2);
  assert.equal(polled.length, 2);
});

test('a failed poll does not end polling', async () => {
  const { clock, polled, become } = page({ jobs: [1], answer: async () => {} });
  become('polling');
  await settle();
  become('offline');
  clock.pass(2);
  assert.equal(polled.length, 2);
});

test('while offline one job is enough of a question', async () => {
  const { clock, polled, become } = page({ jobs: [1, 2, 3] });
  become('polling');
  await settle();
  become('offline');
  clock.pass(2);
  assert.equal(polled.length, 4);
});

test('a page with nothing to poll asks for the session instead', async () => {
  for (const [session, event] of [
    ['live', 'poll-succeeded'],
    ['unknown', 'poll-failed'],
    ['ended', 'session-ended'],
  ]) {
    const { told, become } = page({ jobs: [], regions: false, session });
    become('polling');
    await settle();
    assert.deepEqual(told, [event]);
  }
});
