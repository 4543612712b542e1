import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, createJobs } from '../../static/js/jobs/jobs.js';
import { change, jobRow, progress, writesTo } from './page.mjs';

function page(...rows) {
  const refetches = {
    count: 0,
    soon() {
      this.count += 1;
    },
  };
  const jobs = createJobs({
    rowsOf: (job) => rows.filter((row) => row.dataset.job === String(job)),
    refresh: refetches,
  });
  return { jobs, refetches };
}

test('a newer push fills the slots, the bar and the seq', () => {
  const row = jobRow({ seq: 1 });
  const { jobs, refetches } = page(row);
  jobs.progress(progress(2));
  assert.equal(row.shown.percent.textContent, '2 %');
  assert.equal(row.bar.getAttribute('value'), '2');
  assert.equal(row.bar.getAttribute('aria-valuetext'), '2 %, 2 MiB');
  assert.equal(row.dataset.seq, '2');
  assert.equal(refetches.count, 0);
});

test('a text that is the same is not written again', () => {
  const row = jobRow({ seq: 1 });
  const { jobs } = page(row);
  const texts = writesTo(row.shown.percent);
  jobs.progress(progress(2));
  jobs.progress({ ...progress(3), display: progress(2).display });
  assert.deepEqual(texts, ['2 %']);
});

test('a push as old as what is shown, or older, is dropped', () => {
  const row = jobRow({ seq: 5 });
  const { jobs } = page(row);
  jobs.progress(progress(5));
  jobs.progress(progress(4));
  assert.equal(row.shown.percent.textContent, '');
});

test('a late progress cannot revive a cancelled job', () => {
  const row = jobRow({ seq: 5 });
  const { jobs } = page(row);
  jobs.moved(change(6, 'cancelled'));
  jobs.progress(progress(7));
  assert.equal(row.dataset.status, 'cancelled');
  assert.equal(row.shown.percent.textContent, '100 %');
  assert.equal(row.icon.getAttribute('href'), '/static/v1/icons.svg#cancelled');
});

test('a gap in seq shows what came and asks for what was missed', () => {
  const row = jobRow({ seq: 5 });
  const { jobs, refetches } = page(row);
  jobs.progress(progress(8));
  assert.equal(row.dataset.seq, '8');
  assert.equal(refetches.count, 1);
});

test('progress of a job that does not run, as shown, asks for what was missed', () => {
  assert.equal(compare({ seq: 1, status: 'queued' }, { seq: 2, status: null }), 'missed');
  assert.equal(compare({ seq: 1, status: 'running' }, { seq: 2, status: null }), 'newer');
});

test('a change of status, of a job on the page or not, and a new job refetch the page', () => {
  const { jobs, refetches } = page(jobRow());
  jobs.moved(change(2, 'completed'));
  jobs.moved(change(2, 'completed', { job_id: 99 }));
  jobs.moved({ job_id: 100, status: 'queued', seq: 1 });
  assert.equal(refetches.count, 3);
});

test('a total that is not known yet leaves the bar without a value', () => {
  const row = jobRow({ seq: 1 });
  const { jobs } = page(row);
  jobs.progress({ ...progress(2), percent: null });
  assert.equal(row.bar.hasAttribute('value'), false);
});

test('a slow reply may not replace a newer push, the same or a newer one may', () => {
  const row = jobRow({ seq: 5 });
  const { jobs } = page(row);
  assert.equal(jobs.mayReplace(row, 4), false);
  assert.equal(jobs.mayReplace(row, 5), true);
  assert.equal(jobs.mayReplace(row, 6), true);
});

test('a row that a reply brought is raised to the newest push', () => {
  const { jobs } = page();
  jobs.progress(progress(8));
  jobs.moved(change(9, 'completed'));
  const old = jobRow({ seq: 7 });
  const newer = jobRow({ seq: 10, status: 'running' });
  jobs.reconcile([old, newer]);
  assert.equal(old.dataset.status, 'completed');
  assert.equal(old.dataset.seq, '9');
  assert.equal(newer.dataset.seq, '10');
});

test('in whatever order events arrive, the newest is what stays', () => {
  const events = [
    progress(2),
    progress(3),
    progress(4),
    change(5, 'cancelling'),
    progress(6),
    change(7, 'cancelled'),
  ];
  for (let round = 0; round < 200; round += 1) {
    const row = jobRow({ seq: 1 });
    const { jobs } = page(row);
    const order = events
      .map((event, i) => [Math.sin(round * 31 + i * 17), event])
      .sort(([a], [b]) => a - b);
    for (const [, event] of order) event.new_status ? jobs.moved(event) : jobs.progress(event);
    assert.equal(row.dataset.status, 'cancelled');
    assert.equal(row.dataset.seq, '7');
  }
});
