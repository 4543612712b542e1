// Small courtesies of forms: a destructive button asks once, in place; after a refused form the first wrong field has the focus.
// Without JavaScript the same buttons submit at once and the same errors are shown.

import { closest, findAll, findOptional } from '../lib/dom.js';

/**
 * Puts the question in place of `button`: its own label, asked, with a yes and a way back.
 *
 * @param {Document} document
 * @param {HTMLElement} button
 */
function askOnce(document, button) {
  const box = document.createElement('span');
  box.className = 'confirm';
  box.setAttribute('role', 'group');
  box.setAttribute('data-keep', '');
  const question = document.createElement('span');
  question.textContent = button.dataset.confirm || 'Are you sure?';
  box.setAttribute('aria-label', question.textContent);
  const yes = choice(document, button.dataset.confirmYes || 'Yes', 'btn btn-sm btn-danger');
  const no = choice(document, button.dataset.confirmNo || 'Cancel', 'btn btn-sm');

  const close = () => {
    box.remove();
    button.hidden = false;
    button.focus();
  };
  yes.addEventListener('click', () => {
    box.remove();
    button.hidden = false;
    button.dataset.confirmed = '';
    button.click();
    delete button.dataset.confirmed;
  });
  no.addEventListener('click', close);
  box.addEventListener('keydown', (event) => event.key === 'Escape' && close());

  box.append(question, yes, no);
  button.hidden = true;
  button.after(box);
  no.focus(); // Enter, pressed twice in haste, keeps.
}

/**
 * After a swap: a question whose button is gone, or asks something else now, goes too.
 *
 * @param {Document} document
 */
function dropOrphans(document) {
  for (const box of findAll(document, '.confirm')) {
    const button = /** @type {HTMLElement | null} */ (box.previousElementSibling);
    if (button?.hidden && button.dataset.confirm === box.getAttribute('aria-label')) continue;
    box.remove();
    if (button) button.hidden = false;
  }
}

/**
 * @param {Document} document
 * @param {string} label
 * @param {string} className
 */
function choice(document, label, className) {
  const element = document.createElement('button');
  element.type = 'button';
  element.className = className;
  element.textContent = label;
  return element;
}

/** @param {ParentNode} root */
function focusFirstInvalid(root) {
  findOptional(root, '[aria-invalid="true"], .is-invalid')?.focus();
}

/** @param {Document} document */
export function initForms(document) {
  // Before htmx and before the browser's own submit: a click that is only a question must reach neither.
  document.addEventListener(
    'click',
    (event) => {
      const button = closest(event, '[data-confirm]');
      if (!button || 'confirmed' in button.dataset) return;
      event.preventDefault();
      event.stopPropagation();
      askOnce(document, button);
    },
    { capture: true },
  );
  document.addEventListener('submit', (event) => {
    const button = /** @type {HTMLElement | null} */ (event.submitter);
    if (!button?.dataset.pending || event.defaultPrevented) return;
    if (button.ariaBusy === 'true') event.preventDefault(); // Asked once is enough.
    button.ariaBusy = 'true';
    button.textContent = button.dataset.pending;
  });
  document.addEventListener('htmx:afterSwap', () => dropOrphans(document));
  document.addEventListener('htmx:afterSettle', (event) => {
    if (event.detail.xhr?.status === 422) focusFirstInvalid(event.detail.target);
  });
  focusFirstInvalid(document);
}
