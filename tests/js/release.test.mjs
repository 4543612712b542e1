import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchRelease } from '../../static/js/connection/requests.js';

function page() {
  const document = new EventTarget();
  const note = { hidden: true };
  watchRelease({ document, ours: 'aaaaaaaaaaaa', note });
  const answer = (release) => {
    const xhr = { getResponseHeader: () => release };
    document.dispatchEvent(Object.assign(new Event('htmx:afterRequest'), { detail: { xhr } }));
  };
  return { note, answer };
}

test('answers of the same release, or of nobody, say nothing', () => {
  const { note, answer } = page();
  answer('aaaaaaaaaaaa');
  answer(null);
  assert.equal(note.hidden, true);
});

test('an answer of another release says so, for good', () => {
  const { note, answer } = page();
  answer('bbbbbbbbbbbb');
  answer('aaaaaaaaaaaa');
  assert.equal(note.hidden, false);
});
