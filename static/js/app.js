// Wires the live page together. Everything here is a hint on top of pages that are right without it;
// where nobody is signed in there is nothing to do.

import { initCharts } from './charts/chart-loader.js';
import { createBanner } from './connection/banner.js';
import { followLifecycle } from './connection/lifecycle.js';
import { openLiveConnection } from './connection/live-connection.js';
import { createPolling } from './connection/polling.js';
import { createRefresh } from './connection/refresh.js';
import { guardRequests, watchRelease } from './connection/requests.js';
import { redraw } from './connection/resync.js';
import { askSession, isStill } from './connection/session.js';
import { initBrowse } from './forms/browse.js';
import { initForms } from './forms/forms.js';
import { initJobForm } from './forms/job-form.js';
import { createAges } from './jobs/age.js';
import { ACTIVE, createJobs } from './jobs/jobs.js';
import { initLog } from './jobs/log.js';
import { createNotifier } from './jobs/notify.js';
import { createPageTitle } from './jobs/page-title.js';
import { at } from './lib/base.js';
import { createClock, repeat } from './lib/clock.js';
import { initMenus } from './lib/menus.js';
import { morphCallbacks } from './lib/morphing.js';
import { createNotices, wordsOf } from './lib/notices.js';

const { htmx, Idiomorph } = window;

async function fetchRow(row) {
  const address = at(`/api/jobs/${row.dataset.job}/progress`);
  // A failure rejects with nothing to say; requests.js has heard of it by its event.
  await htmx
    .ajax('GET', address, { source: row, target: row, swap: 'morph:outerHTML' })
    .catch(() => {});
}

function live() {
  const { body } = document;
  const clock = createClock(Number(body.dataset.timeScale ?? 1));
  let lastData = clock.wall();

  const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  const on = (name, act) => document.addEventListener(name, (event) => act(event.detail));
  const fresh = () => {
    lastData = clock.wall();
  };
  const rows = () => [...document.querySelectorAll('[data-job][data-seq]')];
  const activeRows = () => rows().filter((row) => ACTIVE.has(row.dataset.status));
  const redrawPage = () => redraw({ document, location, fetch, Idiomorph, htmx });

  const share = openLiveConnection({ window, user: body.dataset.user, clock, deliver });
  const { state, tell } = share;

  function deliver(name, detail) {
    if (name !== 'portal:connection') return dispatch(name, detail);
    const previous = body.dataset.state ?? null;
    body.dataset.state = detail.state;
    dispatch(name, { ...detail, previous, lastData });
  }

  const refresh = createRefresh({
    clock,
    random: Math.random,
    dispatch: (name) => state() !== 'signed-out' && dispatch(name),
    isCurrent: () => isStill(body.dataset.mark),
  });
  const jobs = createJobs({
    rowsOf: (job) => document.querySelectorAll(`[data-job="${job}"][data-seq]`),
    refresh,
  });
  const notices = createNotices({ document, clock });
  watchRelease({
    document,
    ours: body.dataset.release,
    note: document.querySelector('[data-new-release]'),
  });
  const banner = createBanner({
    root: document.getElementById('connection'),
    clock,
    tryNow: () => tell('retry-now'),
    lastData: () => lastData,
    nextPath: () => location.pathname + location.search,
  });
  const pageTitle = createPageTitle({ document, rows, say: notices.say });
  const notifier = createNotifier({
    document,
    Notification: window.Notification,
    leads: share.leads,
  });
  const polling = createPolling({
    clock,
    activeRows,
    askSession,
    tell,
    fetchRow,
    fetchPage() {
      refresh.now();
      return document.querySelector('[data-region]') !== null;
    },
  });
  const charts = initCharts({ window });
  const ages = createAges({
    clock,
    activeRows,
    silent: () => {
      if (state() !== 'connected') return;
      tell('retry-now');
      refresh.soon();
    },
  });

  async function checkSignedIn() {
    if (state() === 'signed-out' && (await askSession()) === 'live') tell('signed-in');
  }

  function lookAround() {
    ages.tick();
    pageTitle.tick();
  }

  Object.assign(Idiomorph.defaults.callbacks, morphCallbacks(jobs.mayReplace));
  htmx.config.disableInheritance = true; // A region's hx-select is none of the buttons' inside it.
  guardRequests({
    document,
    state,
    tell,
    answered: fresh,
    mayReplace: jobs.mayReplace,
    refused: (xhr) => {
      notices.show(wordsOf(xhr.responseText));
      refresh.soon();
    },
  });

  on('portal:connection', (detail) => {
    if (detail.state === 'connected') fresh();
    banner.follow(detail);
    polling.follow(detail);
    refresh.follow(detail);
    if (detail.previous === 'signed-out' && detail.state !== 'signed-out') redrawPage();
  });
  on('portal:progress', (event) => {
    fresh();
    jobs.progress(event);
    charts.progress(event);
    if (document.hidden) pageTitle.tick(); // Where the clock below is slowed down, and the title is all there is to see.
  });
  on('portal:status', (event) => {
    fresh();
    jobs.moved(event);
    pageTitle.tick();
    notifier.told(event);
  });
  on('portal:changed', (event) => {
    fresh();
    jobs.moved({ ...event, new_status: event.status });
  });
  on('portal:created', (event) => {
    fresh();
    jobs.moved(event);
  });
  on('portal:missed', refresh.everybody);
  on('portal:role-changed', redrawPage);
  on('htmx:afterSwap', () => {
    jobs.reconcile(rows());
    charts.look();
    lookAround();
  });

  followLifecycle({ document, window, clock, share, returned: refresh.now, looked: checkSignedIn });
  initForms(document);
  initMenus(document);
  repeat(createClock(), 1, lookAround);
  for (const form of document.querySelectorAll('[data-job-form]')) initJobForm(form);
  initBrowse({ document, htmx });
  for (const box of document.querySelectorAll('[data-log]')) {
    initLog({ document, box, connection: state });
  }
  share.start();
  if (body.dataset.page === 'doctor') {
    import('./connection/doctor.js').then(({ runDoctor }) => runDoctor({ document, window }));
  }
}

if (document.body.dataset.user) live();
