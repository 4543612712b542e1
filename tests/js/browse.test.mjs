import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nextRow } from '../../static/js/browse.js';

const rows = ['first', 'second', 'third'];

test('the arrows go from row to row and stop at the ends', () => {
  assert.equal(nextRow(rows, 'first', 'ArrowDown'), 'second');
  assert.equal(nextRow(rows, 'third', 'ArrowDown'), 'third');
  assert.equal(nextRow(rows, 'second', 'ArrowUp'), 'first');
  assert.equal(nextRow(rows, 'first', 'ArrowUp'), 'first');
});

test('from outside of the rows the arrow down leads to the first', () => {
  assert.equal(nextRow(rows, 'the filter', 'ArrowDown'), 'first');
});

test('Home and End lead to the ends', () => {
  assert.equal(nextRow(rows, 'second', 'Home'), 'first');
  assert.equal(nextRow(rows, 'second', 'End'), 'third');
});

test('other keys and an empty folder lead nowhere', () => {
  assert.equal(nextRow(rows, 'first', 'Enter'), null);
  assert.equal(nextRow([], 'the filter', 'ArrowDown'), null);
});
