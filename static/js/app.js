// Wires the live page together. Everything here is a hint on top of pages that are right without it;
// where nobody is signed in there is nothing to do.

import { createPageEvents, openLiveConnection } from './connection/live-connection.js';
import { followConnection } from './connection/page-connection.js';
import { createRefresh } from './connection/refresh.js';
import { guardRequests, watchRelease } from './connection/requests.js';
import { redraw } from './connection/resync.js';
import { isStill } from './connection/session.js';
import { createLiveJobs } from './jobs/live-jobs.js';
import { createClock } from './lib/clock.js';
import { findOptional } from './lib/dom.js';
import { morphCallbacks } from './lib/morphing.js';
import { createNotices, wordsOf } from './lib/notices.js';
import { initPage } from './page.js';

const { htmx, Idiomorph } = window;

/** @param {string} user */
function live(user) {
  const { body } = document;
  const clock = createClock(Number(body.dataset.timeScale ?? 1));
  const events = createPageEvents({ document, clock });
  const redrawPage = () => redraw({ document, location, fetch, Idiomorph, htmx });

  const share = openLiveConnection({ window, user, clock, deliver: events.deliver });
  const { state, tell } = share;

  const refresh = createRefresh({
    clock,
    random: Math.random,
    dispatch: (name) => {
      if (state() !== 'signed-out') document.dispatchEvent(new CustomEvent(name));
    },
    isCurrent: () => isStill(body.dataset.stateVersion),
  });
  const notices = createNotices({ document, clock });
  const jobs = createLiveJobs({
    window,
    clock,
    refresh,
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
    answered: events.gotData,
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

  document.addEventListener('portal:missed', refresh.everybody);
  document.addEventListener('portal:role-changed', redrawPage);

  followConnection({
    window,
    clock,
    share,
    refresh,
    activeRows: jobs.activeRows,
    lastData: events.lastData,
    redrawPage,
  });
  jobs.startClock();
  initPage({ window, share });
  share.start();
}

const { user } = document.body.dataset;
if (user) live(user);
