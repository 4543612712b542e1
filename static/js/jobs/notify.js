// A notification of the browser when a job completes or fails, if the user asked for it in the settings.
// One tab speaks for all; permission is asked for by a click and never unbidden.

import { at } from '../lib/base.js';

const WORTH = { completed: 'completed', failed: 'failed' };

/** The text for a change of status, or null if this user need not hear of it: one's own jobs count, and all of them for a viewer, who has none. */
export function notice(event, { user, role }) {
  if (!Object.hasOwn(WORTH, event.new_status)) return null;
  if (role !== 'viewer' && String(event.owner_id) !== user) return null;
  return `${event.name} ${WORTH[event.new_status]}`;
}

/** `leads()` says whether this tab speaks; `Notification` is the browser's, or undefined. */
export function createNotifier({ document, Notification, leads }) {
  function told(event) {
    const { user, role, notifications } = document.body.dataset;
    const text = notice(event, { user, role });
    if (!text || notifications !== 'on' || !leads() || Notification?.permission !== 'granted')
      return;
    const shown = new Notification(text, {
      body: event.display?.result || event.display?.bytes || '',
      tag: `portal-job-${event.job_id}`,
    });
    shown.onclick = () => {
      globalThis.focus();
      globalThis.location.assign(at(`/jobs/${event.job_id}`));
    };
  }

  async function ask(button) {
    const answer = Notification ? await Notification.requestPermission() : 'missing';
    const words = {
      granted: 'This browser may notify you.',
      denied: 'This browser does not allow it.',
      missing: 'This browser has no notifications.',
    };
    const place = button.parentElement.querySelector('[data-notify-answer]') ?? button;
    place.textContent = words[answer] ?? 'Not decided.';
  }

  for (const button of document.querySelectorAll('[data-ask-notifications]'))
    button.hidden = !Notification;
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-ask-notifications]');
    if (button) ask(button);
  });
  return { told };
}
