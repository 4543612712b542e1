// A notification of the browser when a job completes or fails, if the user asked for it in the settings.
// One tab speaks for all; ask-notifications.js asks for the permission.

import { at } from '../lib/base.js';

/** @import { StatusEvent } from '../lib/types.js' */

/** @type {Record<string, string>} */
const NOTIFIED = { completed: 'completed', failed: 'failed' };

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
export function initNotifications({ document, Notification, leads }) {
  document.addEventListener('portal:status', ({ detail }) => {
    const { user, role } = document.body.dataset;
    const text = notice(detail, { user, role });
    if (!text || !leads() || Notification?.permission !== 'granted') return;
    const shown = new Notification(text, {
      body: detail.display?.result || detail.display?.bytes || '',
      tag: `portal-job-${detail.job_id}`,
    });
    shown.onclick = () => {
      globalThis.focus();
      globalThis.location.assign(at(`/jobs/${detail.job_id}`));
    };
  });
}
