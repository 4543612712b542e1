import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { morphCallbacks } from '../../static/js/lib/morphing.js';
import { openWindow } from './page.mjs';

const window = openWindow();
const { document } = window;

before(() => {
  globalThis.Element = window.Element;
});
after(() => {
  delete globalThis.Element;
});

function element(html) {
  document.body.innerHTML = html;
  return document.body.firstElementChild;
}

const callbacks = morphCallbacks((row, seq) => seq >= Number(row.dataset.seq));

test('a reply that is older than a row leaves the row alone', () => {
  const row = element('<li data-job="1" data-seq="5">');
  const older = element('<li data-job="1" data-seq="4">');
  const newer = element('<li data-job="1" data-seq="6">');
  assert.equal(callbacks.beforeNodeMorphed(row, older), false);
  assert.equal(callbacks.beforeNodeMorphed(row, newer), true);
});

test('another job in the place of a row is always shown', () => {
  const row = element('<li data-job="1" data-seq="5">');
  assert.equal(callbacks.beforeNodeMorphed(row, element('<li data-job="2" data-seq="1">')), true);
});

test('what the page itself has added stays', () => {
  const kept = element('<span data-keep></span>');
  assert.equal(callbacks.beforeNodeMorphed(kept, element('<span></span>')), false);
  assert.equal(callbacks.beforeNodeRemoved(kept), false);
  assert.equal(callbacks.beforeNodeRemoved(element('<span></span>')), true);
});

test('typed text stays, an untouched field follows the server', () => {
  const field = element('<input value="old">');
  assert.equal(callbacks.beforeAttributeUpdated('value', field), true);
  field.value = 'typed';
  assert.equal(callbacks.beforeAttributeUpdated('value', field), false);
});

test('an opened panel and a question that waits stay as they are', () => {
  assert.equal(callbacks.beforeAttributeUpdated('open', element('<details open>')), false);
  const button = element('<button hidden></button><span class="confirm"></span>');
  assert.equal(callbacks.beforeAttributeUpdated('hidden', button), false);
});
