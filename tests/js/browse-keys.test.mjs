import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nextRow } from '../../static/js/forms/browse-keys.js';

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

test('the page keys go over ten rows, to the ends at most', () => {
  const many = Array.from({ length: 25 }, (_, number) => number);
  assert.equal(nextRow(many, 2, 'PageDown'), 12);
  assert.equal(nextRow(many, 20, 'PageDown'), 24);
  assert.equal(nextRow(many, 12, 'PageUp'), 2);
  assert.equal(nextRow(many, 2, 'PageUp'), 0);
});

test('other keys and an empty folder lead nowhere', () => {
  assert.equal(nextRow(rows, 'first', 'Enter'), null);
  assert.equal(nextRow([], 'the filter', 'ArrowDown'), null);
});
