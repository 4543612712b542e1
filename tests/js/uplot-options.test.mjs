import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isolatedPoints } from '../../static/js/charts/uplot-options.js';

test('points between gaps are found, for as a line they would not be seen', () => {
  assert.deepEqual(isolatedPoints([1, null, 2, 3, null, 4]), [0, 5]);
  assert.deepEqual(isolatedPoints([0]), [0]);
  assert.deepEqual(isolatedPoints([1, 2]), []);
});
