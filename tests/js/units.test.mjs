import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { momentText } from '../../static/js/charts/live-chart.js';
import { durationText, speedText } from '../../static/js/charts/units.js';

const table = JSON.parse(readFileSync(new URL('units.json', import.meta.url), 'utf8'));

test('speeds are written as Python writes them', () => {
  for (const [number, words] of table.speeds) assert.equal(speedText(number), words);
});

test('durations are written as Python writes them', () => {
  for (const [number, words] of table.durations) assert.equal(durationText(number), words);
});

test('on an axis nothing is a number, and a gap is none', () => {
  assert.equal(speedText(0), '0 B/s');
  assert.equal(speedText(null), '–');
});

test('a point says the time since the start, or the clock time of the reader', () => {
  const start = Date.parse('2026-03-29T00:30:00Z');
  assert.equal(momentText({ start, step: 2, zone: null }, 45), '1 min 30 s');
  assert.equal(momentText({ start, step: 300, zone: 'Europe/Berlin' }, 5), '01:55');
  assert.equal(momentText({ start, step: 300, zone: 'Europe/Berlin' }, 6), '03:00');
});
