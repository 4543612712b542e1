// Wires the live page together. Everything here is a hint on top of pages that are right without it;
// where nobody is signed in there is nothing to do.

import { createAges } from './age.js';
import { createBanner } from './banner.js';
import { createClock, repeat } from './clock.js';
import { createConnection } from './connection.js';
import { runDoctor } from './doctor.js';
import { attendForms } from './forms.js';
import { createHeadline } from './headline.js';
import { attendJobForm } from './job-form.js';
import { ACTIVE, createJobs } from './jobs.js';
import { shareConnection } from './leader.js';
import { followLifecycle } from './lifecycle.js';
import { attendMenus } from './menus.js';
import { morphCallbacks } from './morphing.js';
import { createNotices, wordsOf } from './notices.js';
import { createNotifier } from './notify.js';
import { createPolling } from './polling.js';
import { redraw } from './redraw.js';
import { createRefresh } from './refresh.js';
import { guardRequests } from './requests.js';
import { askSession } from './session.js';
import { openSocket } from './socket.js';

const { htmx, Idiomorph } = window;

function live() {
  const { body } = document;
  const clock = createClock(Number(body.dataset.timeScale ?? 1));
  let state = 'connecting';
  let lastData = clock.wall();

  const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  const on = (name, act) => document.addEventListener(name, (event) => act(event.detail));
  const fresh = () => { lastData = clock.wall(); };
  const rows = () => [...document.querySelectorAll('[data-job][data-seq]')];
  const activeRows = () => rows().filter((row) => ACTIVE.has(row.dataset.status));
  const redrawPage = () => redraw({ document, location, fetch, Idiomorph, htmx });

  const share = shareConnection({
    user: body.dataset.user,
    clock,
    // A browser without WebSocket has nothing to share; one without locks or channels cannot.
    locks: window.WebSocket ? navigator.locks : null,
    openChannel: window.BroadcastChannel ? (name) => new BroadcastChannel(name) : null,
    connect: (publish) => createConnection({
      openSocket, supported: Boolean(window.WebSocket), askSession, clock, random: Math.random, publish, log: console,
    }),
    deliver(name, detail) {
      if (name !== 'portal:connection') return dispatch(name, detail);
      const previous = state;
      ({ state } = detail);
      body.dataset.state = state;
      dispatch(name, { ...detail, previous, lastData });
    },
  });

  const refresh = createRefresh({ clock, random: Math.random, dispatch: (name) => state !== 'signed-out' && dispatch(name) });
  const jobs = createJobs({ rowsOf: (job) => document.querySelectorAll(`[data-job="${job}"][data-seq]`), refresh });
  const notices = createNotices({ document, clock });
  const banner = createBanner({
    root: document.getElementById('connection'),
    clock,
    tryNow: () => share.tell('hurry'),
    lastData: () => lastData,
    nextPath: () => location.pathname + location.search,
  });
  const headline = createHeadline({ document, rows, say: notices.say });
  const notifier = createNotifier({ document, Notification: window.Notification, leads: share.leads });
  const polling = createPolling({
    clock,
    activeRows,
    askSession,
    tell: share.tell,
    fetchRow: (row) => htmx.ajax('GET', `/api/jobs/${row.dataset.job}/progress`, { source: row, target: row, swap: 'morph:outerHTML' }),
    fetchPage() {
      refresh.now();
      return document.querySelector('[data-region]') !== null;
    },
  });
  const ages = createAges({
    clock: { now: clock.now },
    activeRows,
    silent: () => {
      if (state !== 'connected') return;
      share.tell('hurry');
      refresh.soon();
    },
  });

  async function checkSignedIn() {
    if (state === 'signed-out' && await askSession() === 'live') share.tell('signed-in');
  }

  function lookAround() {
    ages.tick();
    headline.tick();
  }

  Object.assign(Idiomorph.defaults.callbacks, morphCallbacks(jobs.mayReplace));
  htmx.config.disableInheritance = true; // A region's hx-select is none of the buttons' inside it.
  guardRequests({
    document,
    state: () => state,
    tell: share.tell,
    answered: fresh,
    mayReplace: jobs.mayReplace,
    refused: (xhr) => { notices.show(wordsOf(xhr.responseText)); refresh.soon(); },
  });

  on('portal:connection', (detail) => {
    if (detail.state === 'connected') fresh();
    banner.follow(detail);
    polling.follow(detail);
    refresh.follow(detail);
    if (detail.previous === 'signed-out' && detail.state !== 'signed-out') redrawPage();
  });
  on('portal:progress', (event) => { fresh(); jobs.progress(event); headline.tick(); });
  on('portal:status', (event) => { fresh(); jobs.moved(event); headline.tick(); notifier.told(event); });
  on('portal:created', (event) => { fresh(); jobs.moved(event); });
  on('portal:role-changed', redrawPage);
  on('htmx:afterSwap', () => { jobs.reconcile(rows()); lookAround(); });

  followLifecycle({ document, window, clock, share, returned: refresh.now, looked: checkSignedIn });
  attendForms(document);
  attendMenus(document);
  repeat(createClock(), 1, lookAround);
  document.querySelectorAll('[data-job-form]').forEach(attendJobForm);
  share.start();
  if (body.dataset.page === 'doctor') runDoctor({ document, window, clock });
}

if (document.body.dataset.user) live();
