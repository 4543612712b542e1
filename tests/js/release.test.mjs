import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchRelease } from '../../static/js/connection/requests.js';
import { openWindow } from './page.mjs';

function page() {
  const window = openWindow('<p data-new-release hidden>There is a new release.</p>');
  const { document } = window;
  const note = document.querySelector('[data-new-release]');
  watchRelease({ document, ours: 'aaaaaaaaaaaa', note });
  const answer = (release) => {
    const xhr = { getResponseHeader: () => release };
    document.dispatchEvent(new window.CustomEvent('htmx:afterRequest', { detail: { xhr } }));
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
