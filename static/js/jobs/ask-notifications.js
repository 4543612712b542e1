// The button that asks for the browser's permission to notify: by a click and never unbidden.

import { closest, findAll } from '../lib/dom.js';

/** @type {Record<string, string>} */
const ANSWERS = {
  granted: 'This browser can notify you.',
  denied: 'Notifications are blocked in this browser.',
  missing: 'This browser does not support notifications.',
};

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {typeof globalThis.Notification} [page.Notification] is the browser's, where it has one.
 */
export function initAskNotifications({ document, Notification }) {
  /** @param {HTMLElement} button */
  async function ask(button) {
    const answer = Notification ? await Notification.requestPermission() : 'missing';
    const place = button.parentElement?.querySelector('[data-notify-answer]') ?? button;
    place.textContent = ANSWERS[answer] ?? 'Not decided yet.';
  }

  for (const button of findAll(document, '[data-ask-notifications]')) {
    button.hidden = !Notification;
  }
  document.addEventListener('click', (event) => {
    const button = closest(event, '[data-ask-notifications]');
    if (button) ask(button);
  });
}
