// A notification of the browser when a job completes or fails, if the user asked for it in the settings.
// One tab speaks for all; permission is asked for by a click and never unbidden.

import { at } from '../lib/base.js';
import { closest, findAll } from '../lib/dom.js';

/** @import { StatusEvent } from '../lib/types.js' */

/** @type {Record<string, string>} */
const NOTIFIED = { completed: 'completed', failed: 'failed' };

/** @type {Record<string, string>} */
const ANSWERS = {
  granted: 'This browser can notify you.',
  denied: 'Notifications are blocked in this browser.',
  missing: 'This browser does not support notifications.',
};

/**
 * The text for a change of status, or null if this user need not hear of it: one's own jobs count,
 * and all of them for a viewer, who has none.
 *
 * @param {Pick<StatusEvent, 'new_status' | 'owner_id' | 'name'>} event
 * @param {{ user?: string, role?: string }} reader
 */
export function notice(event, { user, role }) {
  if (!Object.hasOwn(NOTIFIED, event.new_status)) return null;
  if (role !== 'viewer' && String(event.owner_id) !== user) return null;
  return `${event.name} ${NOTIFIED[event.new_status]}`;
}

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {typeof globalThis.Notification} [page.Notification] is the browser's, where it has one.
 * @param {() => boolean} page.leads says whether this tab speaks.
 */
export function createNotifier({ document, Notification, leads }) {
  /** @param {StatusEvent} event */
  function statusChanged(event) {
    const { user, role, notifications } = document.body.dataset;
    const text = notice(event, { user, role });
    if (!text || notifications !== 'on' || !leads()) return;
    if (Notification?.permission !== 'granted') return;
    const shown = new Notification(text, {
      body: event.display?.result || event.display?.bytes || '',
      tag: `portal-job-${event.job_id}`,
    });
    shown.onclick = () => {
      globalThis.focus();
      globalThis.location.assign(at(`/jobs/${event.job_id}`));
    };
  }

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
  return { statusChanged };
}
