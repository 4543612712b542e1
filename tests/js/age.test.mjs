import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAges } from '../../static/js/jobs/age.js';
import { createJobs } from '../../static/js/jobs/jobs.js';
import { fakeClock } from './fakes.mjs';
import { jobRow, progress } from './page.mjs';

function page(row) {
  const clock = fakeClock();
  let silences = 0;
  const ages = createAges({
    clock,
    activeRows: () => [row],
    silent: () => {
      silences += 1;
    },
  });
  ages.tick();
  const pass = (seconds) => {
    for (let i = 0; i < seconds; i += 1) {
      clock.pass(1);
      ages.tick();
    }
  };
  return {
    ages,
    pass,
    silences: () => silences,
    jobs: createJobs({ rowsOf: () => [row], refresh: { soon() {} } }),
  };
}

test('figures say how old they are once that is over 5 s, and grey at 15 s', () => {
  const row = jobRow();
  const { pass } = page(row);
  pass(5);
  assert.equal(row.shown.age.textContent, '');
  pass(2);
  assert.equal(row.shown.age.textContent, '7 s ago');
  assert.equal(row.classList.contains('stale'), false);
  pass(8);
  assert.equal(row.shown.age.textContent, '15 s ago');
  assert.equal(row.classList.contains('stale'), true);
});

test('the age that the server gives counts from the beginning', () => {
  const row = jobRow({ age: '6.2' });
  page(row);
  assert.equal(row.shown.age.textContent, '6 s ago');
});

test('a push makes them new again', () => {
  const row = jobRow();
  const { pass, jobs, ages } = page(row);
  pass(20);
  jobs.progress(progress(2));
  ages.tick();
  assert.equal(row.shown.age.textContent, '');
  assert.equal(row.classList.contains('stale'), false);
});

test('silence is doubted when it begins and then every 15 s, not every second', () => {
  const { pass, silences } = page(jobRow());
  pass(5);
  assert.equal(silences(), 0);
  pass(1);
  assert.equal(silences(), 1);
  pass(40);
  assert.equal(silences(), 4);
});
