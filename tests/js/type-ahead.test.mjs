import assert from 'node:assert/strict';
import { test } from 'node:test';

import { typedAhead } from '../../static/js/forms/type-ahead.js';

const names = ['archive', 'Photos 2025', 'photos 2026', 'public'];

function after(keys, current, pause = 100) {
  const ahead = typedAhead();
  for (const [number, key] of [...keys].entries()) ahead.add(key, number * pause);
  return ahead.next(names, current);
}

test('a letter leads to the next name that begins with it, and around', () => {
  assert.equal(after('p', 0), 1);
  assert.equal(after('p', 1), 2);
  assert.equal(after('p', 3), 1);
  assert.equal(after('a', 2), 0);
});

test('letters of one moment are one beginning, whatever their case', () => {
  assert.equal(after('pu', 1), 3);
  assert.equal(after('PHOTOS 2026', 1), 2);
  assert.equal(after('pho', 1), 1);
});

test('the same letter again goes on', () => {
  assert.equal(after('pp', 1), 2);
});

test('after a pause a new beginning begins', () => {
  assert.equal(after('pa', 1, 5000), 0);
});

test('what no name begins with leads nowhere', () => {
  assert.equal(after('x', 0), -1);
  assert.equal(typedAhead().next([], 0), -1);
});

test('a space goes on with a beginning, and begins none', () => {
  const ahead = typedAhead();
  assert.equal(ahead.isOpen(0), false);
  ahead.add('p', 0);
  assert.equal(ahead.isOpen(100), true);
  assert.equal(ahead.isOpen(5000), false);
});
