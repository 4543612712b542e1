// What a page has of its own, beside its live jobs: forms, menus, the browser of a storage, a log and so on.
// What only some pages need is fetched by those alone.

import { initDoubleClicks } from './forms/double-click.js';
import { initForms } from './forms/forms.js';
import { findOptional } from './lib/dom.js';
import { initMenus } from './lib/menus.js';

/** @import { Share } from './connection/shared-connection.js' */

/**
 * @param {object} page
 * @param {Window & typeof globalThis} page.window
 * @param {Share} page.share the tab's part in the connection.
 */
export function initPage({ window, share }) {
  const { document, htmx, Notification } = window;
  const { page, notifications } = document.body.dataset;
  initDoubleClicks(document); // First: no other listener sees a click that it swallows.
  initForms(document);
  initMenus(document);
  /** @type {HTMLFormElement | null} */
  const form = findOptional(document, '[data-job-form]');
  if (form) {
    import('./forms/job-form.js').then(({ initJobForm }) => initJobForm(form));
    import('./forms/browse.js').then(({ initBrowse }) => initBrowse({ document, htmx }));
  }
  const box = findOptional(document, '[data-log]');
  if (box) {
    import('./jobs/log.js').then(({ initLog }) =>
      initLog({ document, box, connection: share.state }),
    );
  }
  if (notifications === 'on') {
    import('./jobs/notify.js').then(({ initNotifications }) =>
      initNotifications({ document, Notification, leads: share.leads }),
    );
  }
  if (findOptional(document, '[data-ask-notifications]')) {
    import('./jobs/ask-notifications.js').then(({ initAskNotifications }) =>
      initAskNotifications({ document, Notification }),
    );
  }
  if (page === 'doctor') {
    import('./connection/doctor.js').then(({ runDoctor }) => runDoctor({ document, window }));
  }
}
