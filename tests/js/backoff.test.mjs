import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../../static/js/connection/backoff.js';

test('the waits are 1, 2, 4, 8, 16, 30, 30 … seconds', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((n) => delay(n, 0.5)),
    [1, 2, 4, 8, 16, 30, 30, 30, 30],
  );
});

test('each wait is spread by the full ±20 %, the longest too', () => {
  for (const [n, step] of [
    [0, 1],
    [4, 16],
    [5, 30],
    [50, 30],
  ]) {
    assert.ok(Math.abs(delay(n, 0) - step * 0.8) < 1e-9);
    assert.ok(Math.abs(delay(n, 1) - step * 1.2) < 1e-9);
  }
});
