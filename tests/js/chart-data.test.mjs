import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCurve, grown, merged } from '../../static/js/charts/chart-data.js';

const START = Date.parse('2026-11-22T12:00:00.000Z');
const data = (more = {}) => ({
  job: 7,
  start: START,
  step: 1,
  points: [],
  width: 60,
  top: 1024,
  parts: 4,
  marks: [],
  zone: null,
  ...more,
});
const at = (seconds) => new Date(START + seconds * 1000).toISOString();

function curveOf(...given) {
  const curve = createCurve();
  curve.replace(data(...given));
  return curve;
}

test('figures every 1.2 s leave no hole in seconds', () => {
  const live = [0, 1, 2, 3, 4, 5, 6].map((number) => [0.3 + number * 1.2, 10]);
  assert.deepEqual(merged(data(), live), Array(8).fill(10));
});

test('several figures of one step are averaged', () => {
  assert.deepEqual(
    merged(data({ step: 4, points: [1] }), [
      [4.1, 10],
      [5.3, 20],
      [6.5, 30],
    ]),
    [1, 20],
  );
});

test('a gap between figures stays a gap', () => {
  assert.deepEqual(
    merged(data(), [
      [0.5, 10],
      [6.5, 20],
    ]),
    [10, null, null, null, null, null, 20],
  );
});

test('what the server has written counts before live figures', () => {
  assert.deepEqual(
    merged(data({ points: [1, 2] }), [
      [1.5, 99],
      [2.5, 3],
    ]),
    [1, 2, 3],
  );
});

test('a page that was away shows the hole until the server has written it', () => {
  const curve = curveOf({ points: [5, 5] });
  curve.add(at(2.4), 5);
  curve.add(at(9.1), 6);
  assert.deepEqual(curve.shown().points, [5, 5, 5, null, null, null, null, null, null, 6]);
  curve.replace(data({ points: [5, 5, 5, 4, 4, 4, 4, 4] }));
  assert.deepEqual(curve.shown().points, [5, 5, 5, 4, 4, 4, 4, 4, 6, 6]);
  curve.add(at(10.3), 6);
  curve.replace(data({ points: [5, 5, 5, 4, 4, 4, 4, 4, 6, 6] }));
  assert.deepEqual(curve.shown().points, [5, 5, 5, 4, 4, 4, 4, 4, 6, 6, 6]);
});

test('between what was written and the first figure after it is no hole, unless one is there', () => {
  assert.deepEqual(merged(data({ points: [1] }), [[3.5, 2]]), [1, 2, 2, 2]);
  assert.deepEqual(merged(data({ points: [1] }), [[4.5, 2]]), [1, null, null, null, 2]);
});

test('a coarser series takes over live figures', () => {
  const curve = curveOf({ points: [1, 1] });
  for (const second of [2.5, 3.5, 4.5]) curve.add(at(second), 9);
  curve.replace(data({ step: 2, points: [1, 9] }));
  assert.deepEqual(curve.shown().points, [1, 9, 9]);
});

test('a figure that is old, or comes twice, changes nothing', () => {
  const curve = curveOf({ points: [1, 1, 1] });
  curve.add(at(1.5), 50);
  curve.add(at(3.5), 2);
  curve.add(at(3.5), 70);
  curve.add(at(3.2), 70);
  assert.deepEqual(curve.shown().points, [1, 1, 1, 2]);
});

test('a new attempt begins with an empty chart', () => {
  const curve = curveOf({ points: [1, 1] });
  curve.add(at(2.5), 1);
  curve.replace(data({ start: START + 60_000 }));
  assert.deepEqual(curve.shown().points, []);
});

test('a live figure from before the series began keeps its moment', () => {
  const curve = curveOf();
  curve.add(at(2.5), 7);
  curve.replace(data({ start: START + 1000, points: [7] }));
  assert.deepEqual(curve.shown().points, [7, 7]);
});

test('a chart that has ended hears nothing', () => {
  const curve = curveOf({ points: [1] });
  curve.add(at(1.5), 7);
  curve.replace(data({ job: null, points: [1, 2] }));
  assert.deepEqual(curve.shown().points, [1, 2]);
});

test('the scale doubles when it must and never shrinks', () => {
  assert.equal(grown(1024, [1, null, 1024]), 1024);
  assert.equal(grown(1024, [1, 1025]), 2048);
  const curve = curveOf({ top: 3072, parts: 3 });
  curve.add(at(0.5), 5000);
  assert.deepEqual([curve.shown().top, curve.shown().parts], [6144, 3]);
  curve.replace(data({ top: 4096, parts: 4, points: [1] }));
  assert.deepEqual([curve.shown().top, curve.shown().parts], [6144, 3]);
  curve.replace(data({ top: 8192, parts: 4, points: [1] }));
  assert.deepEqual([curve.shown().top, curve.shown().parts], [8192, 4]);
});

test('however long no reply comes, the live figures stay bounded', () => {
  const curve = curveOf();
  for (let number = 0; number < 5000; number += 1) curve.add(at(number * 1.2), 1);
  assert.ok(curve.shown().points.filter((point) => point !== null).length <= 1300);
});
