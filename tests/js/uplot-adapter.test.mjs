import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextPoint } from '../../static/js/charts/uplot-adapter.js';

test('keys go through the points and stop at both ends', () => {
  assert.equal(nextPoint(20, null, 'ArrowLeft'), 19);
  assert.equal(nextPoint(20, 5, 'ArrowRight'), 6);
  assert.equal(nextPoint(20, 19, 'ArrowRight'), 19);
  assert.equal(nextPoint(20, 5, 'PageDown'), 0);
  assert.equal(nextPoint(20, 5, 'PageUp'), 15);
  assert.equal(nextPoint(20, 5, 'Home'), 0);
  assert.equal(nextPoint(20, 5, 'End'), 19);
  assert.equal(nextPoint(20, 5, 'Tab'), null);
  assert.equal(nextPoint(0, null, 'ArrowLeft'), null);
});
