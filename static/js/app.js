// Wires the live page together. Everything here is a hint on top of pages that are right without it;
// where nobody is signed in there is nothing to do.

import { openLiveConnection } from './connection/live-connection.js';
import { followConnection } from './connection/page-connection.js';
import { createRefresh } from './connection/refresh.js';
import { guardRequests, watchRelease } from './connection/requests.js';
import { redraw } from './connection/resync.js';
import { isStill } from './connection/session.js';
import { initDoubleClicks } from './forms/double-click.js';
import { initForms } from './forms/forms.js';
import { createLiveJobs } from './jobs/live-jobs.js';
import { createClock } from './lib/clock.js';
import { findOptional } from './lib/dom.js';
import { initMenus } from './lib/menus.js';
import { morphCallbacks } from './lib/morphing.js';
import { createNotices, wordsOf } from './lib/notices.js';

/** @import { Publish, Snapshot, State } from './lib/types.js' */

const SERVER_EVENTS = ['portal:progress', 'portal:status', 'portal:changed', 'portal:created'];

const { htmx, Idiomorph } = window;

/**
 * @param {string} name
 * @param {object} [detail]
 */
const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

/** @param {string} user */
function live(user) {
  const { body } = document;
  const clock = createClock(Number(body.dataset.timeScale ?? 1));
  let lastData = clock.wall();

  const fresh = () => {
    lastData = clock.wall();
  };
  const redrawPage = () => redraw({ document, location, fetch, Idiomorph, htmx });

  const share = openLiveConnection({ window, user, clock, deliver });
  const { state, tell } = share;

  /** @type {Publish} */
  function deliver(name, detail) {
    if (name === 'portal:connection') {
      const snapshot = /** @type {Snapshot} */ (detail);
      const previous = body.dataset.state ?? null;
      body.dataset.state = snapshot.state;
      dispatch(name, { ...snapshot, previous, lastData });
    } else {
      dispatch(name, detail);
    }
  }

  const refresh = createRefresh({
    clock,
    random: Math.random,
    dispatch: (name) => {
      if (state() !== 'signed-out') dispatch(name);
    },
    isCurrent: () => isStill(body.dataset.stateVersion),
  });
  const notices = createNotices({ document, clock });
  const jobs = createLiveJobs({
    window,
    clock,
    refresh,
    leads: share.leads,
    say: notices.say,
    silent() {
      if (state() !== 'connected') return;
      tell('retry-now');
      refresh.soon();
    },
  });
  Object.assign(Idiomorph.defaults.callbacks, morphCallbacks(jobs.mayReplace));
  htmx.config.disableInheritance = true; // A region's hx-select is none of the buttons' inside it.
  guardRequests({
    document,
    state,
    tell,
    answered: fresh,
    mayReplace: jobs.mayReplace,
    refused(xhr) {
      notices.show(wordsOf(xhr.responseText));
      refresh.soon();
    },
  });
  watchRelease({
    document,
    ours: body.dataset.release,
    note: findOptional(document, '[data-new-release]'),
  });

  document.addEventListener('portal:connection', ({ detail }) => {
    if (detail.state === 'connected') fresh();
  });
  for (const name of SERVER_EVENTS) document.addEventListener(name, fresh);
  document.addEventListener('portal:progress', ({ detail }) => jobs.progress(detail));
  document.addEventListener('portal:status', ({ detail }) => jobs.statusChanged(detail));
  document.addEventListener('portal:changed', ({ detail }) => {
    jobs.moved({ ...detail, new_status: detail.status });
  });
  document.addEventListener('portal:created', ({ detail }) => jobs.moved(detail));
  document.addEventListener('portal:missed', refresh.everybody);
  document.addEventListener('portal:role-changed', redrawPage);
  document.addEventListener('htmx:afterSwap', jobs.swapped);

  followConnection({
    window,
    clock,
    share,
    refresh,
    activeRows: jobs.activeRows,
    lastData: () => lastData,
    redrawPage,
  });
  jobs.startClock();
  initPage(state);
  share.start();
}

/**
 * What a page has of its own, beside its jobs. What only some pages need is fetched by those alone.
 *
 * @param {() => State} connection
 */
function initPage(connection) {
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
    import('./jobs/log.js').then(({ initLog }) => initLog({ document, box, connection }));
  }
  if (document.body.dataset.page === 'doctor') {
    import('./connection/doctor.js').then(({ runDoctor }) => runDoctor({ document, window }));
  }
}

const { user } = document.body.dataset;
if (user) live(user);
