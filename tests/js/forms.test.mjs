import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initForms } from '../../static/js/forms/forms.js';
import { openWindow } from './page.mjs';

function form() {
  const window = openWindow(`
    <form><button data-confirm="Delete it?" data-confirm-yes="Delete">Delete</button></form>
    <input id="right"><input id="wrong" aria-invalid="true">`);
  const { document } = window;
  const button = document.querySelector('[data-confirm]');
  let clicks = 0;
  initForms(document);
  document.addEventListener('click', (event) => {
    if (event.target === button) clicks += 1;
    event.preventDefault();
  });
  return { document, button, window, clicks: () => clicks };
}

const box = (document) => document.querySelector('.confirm');

test('a destructive button asks first, and the focus is on the way back', () => {
  const { document, button, clicks } = form();
  button.click();
  assert.equal(clicks(), 0);
  assert.equal(button.hidden, true);
  assert.equal(box(document).getAttribute('aria-label'), 'Delete it?');
  assert.equal(document.activeElement.textContent, 'Cancel');
});

test('"yes" clicks the button once and takes the question away', () => {
  const { document, button, clicks } = form();
  button.click();
  box(document).querySelector('.btn-danger').click();
  assert.equal(clicks(), 1);
  assert.equal(box(document), null);
  assert.equal(button.hidden, false);
});

test('Escape keeps, and gives the focus back', () => {
  const { document, button, clicks, window } = form();
  button.click();
  box(document).dispatchEvent(new window.KeyboardEvent('keydown', { key: 'Escape' }));
  assert.equal(clicks(), 0);
  assert.equal(box(document), null);
  assert.equal(document.activeElement, button);
});

test('a question whose button asks something else after a swap goes', () => {
  const { document, button, window } = form();
  button.click();
  button.dataset.confirm = 'Cancel it?';
  document.dispatchEvent(new window.CustomEvent('htmx:afterSwap', {}));
  assert.equal(box(document), null);
  assert.equal(button.hidden, false);
});

test('the first wrong field of a refused form has the focus', () => {
  assert.equal(form().document.activeElement.id, 'wrong');
});
