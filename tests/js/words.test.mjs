import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TABLE } from '../../static/js/connection/connection-state.js';
import {
  clockTime,
  countdown,
  facts,
  stripText,
  WORDS,
} from '../../static/js/connection/connection-words.js';
import { sentence } from '../../static/js/forms/job-form.js';
import { notice } from '../../static/js/jobs/notify.js';
import { quarter, titled } from '../../static/js/jobs/page-title.js';

const noon = new Date(2026, 0, 5, 12, 3, 10).getTime();

test('every state has its word', () => {
  assert.deepEqual(Object.keys(WORDS).sort(), Object.keys(TABLE).sort());
});

test('the strip says what the contract says', () => {
  assert.equal(stripText('polling', noon), 'Using polling mode (WebSocket unavailable)');
  assert.equal(stripText('offline', noon), 'Offline – showing data from 12:03:10');
  assert.equal(stripText('reconnecting', noon), 'Reconnecting…');
  assert.equal(stripText('signed-out', noon), 'You are signed out – ');
  assert.equal(stripText('connected', noon), null);
  assert.equal(stripText('connected', noon, true), 'Live updates are delayed');
  assert.equal(stripText('polling', noon, true), 'Using polling mode (WebSocket unavailable)');
});

test('the countdown ends at 1 and is silent where nothing will be tried', () => {
  assert.equal(countdown({ attempting: false, nextAttemptAt: 4000 }, 0), 'next try in 4 s');
  assert.equal(countdown({ attempting: false, nextAttemptAt: 4000 }, 3999), 'next try in 1 s');
  assert.equal(countdown({ attempting: true, nextAttemptAt: null }, 0), 'trying now');
  assert.equal(countdown({ attempting: false, nextAttemptAt: null }, 0), '');
});

test('a round trip is shown only of a line that stands', () => {
  const detail = { since: noon, roundTrip: 12, lastData: noon, reason: null };
  assert.equal(facts({ ...detail, state: 'connected' }).roundTrip, '12 ms');
  assert.equal(facts({ ...detail, state: 'offline' }).roundTrip, '–');
  assert.equal(clockTime(noon), '12:03:10');
});

test('the title carries the percent of the only running job, and never two', () => {
  assert.equal(
    titled('Nightly photos – Transfer Portal', [62.9]),
    '62 % · Nightly photos – Transfer Portal',
  );
  assert.equal(titled('61 % · Jobs', [62]), '62 % · Jobs');
  assert.equal(titled('61 % · Jobs', [10, 20]), 'Jobs');
  assert.equal(titled('61 % · Jobs', []), 'Jobs');
  assert.equal(titled('Jobs', [NaN]), 'Jobs');
});

test('quarters are told, not every percent', () => {
  assert.deepEqual([null, 0, 24.9, 25, 60, 75, 100].map(quarter), [0, 0, 0, 1, 2, 3, 3]);
});

test("a notification tells of the end of one's own jobs, and a viewer of all", () => {
  const bob = { user: '7', role: 'operator' };
  const ended = { job_id: 3, new_status: 'failed', name: 'Nightly photos', owner_id: 7 };
  assert.equal(notice(ended, bob), 'Nightly photos failed');
  assert.equal(notice({ ...ended, new_status: 'completed' }, bob), 'Nightly photos completed');
  assert.equal(notice({ ...ended, owner_id: 8 }, bob), null);
  assert.equal(
    notice({ ...ended, owner_id: 8 }, { user: '9', role: 'viewer' }),
    'Nightly photos failed',
  );
  assert.equal(notice({ ...ended, new_status: 'running' }, bob), null);
});

test('the sentence of a new job says what is deleted, and nothing before both ends are known', () => {
  assert.equal(
    sentence({ operation: 'copy', source: '/a', destination: '/b' }),
    'Copies everything in /a to /b; nothing is deleted in /b.',
  );
  assert.match(
    sentence({ operation: 'sync', source: '/a', destination: '/b' }),
    /only in \/b are deleted/,
  );
  assert.match(
    sentence({ operation: 'move', source: '/a', destination: '/b', dryRun: true }),
    /Dry run/,
  );
  assert.equal(sentence({ operation: 'copy', source: '', destination: '/b' }), '');
});
