// Wires the live page together. Everything here is a hint on top of pages that are right without it;
// where nobody is signed in there is nothing to do.

import { createAges } from './age.js';
import { createBanner } from './banner.js';
import { attendBrowse } from './browse.js';
import { attendCharts } from './charting.js';
import { createClock, repeat } from './clock.js';
import { attendForms } from './forms.js';
import { createHeadline } from './headline.js';
import { attendJobForm } from './job-form.js';
import { ACTIVE, createJobs } from './jobs.js';
import { followLifecycle } from './lifecycle.js';
import { openLine } from './line.js';
import { attendLog } from './log.js';
import { attendMenus } from './menus.js';
import { morphCallbacks } from './morphing.js';
import { createNotices, wordsOf } from './notices.js';
import { createNotifier } from './notify.js';
import { createPolling } from './polling.js';
import { redraw } from './redraw.js';
import { createRefresh } from './refresh.js';
import { guardRequests, watchRelease } from './requests.js';
import { askSession, isStill } from './session.js';

const { htmx, Idiomorph } = window;

async function fetchRow(row) {
  const address = `/api/jobs/${row.dataset.job}/progress`;
  // A failure rejects with nothing to say; requests.js has heard of it by its event.
  await htmx.ajax('GET', address, { source: row, target: row, swap: 'morph:outerHTML' }).catch(() => {});
}

function live() {
  const { body } = document;
  const clock = createClock(Number(body.dataset.timeScale ?? 1));
  let lastData = clock.wall();

  const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  const on = (name, act) => document.addEventListener(name, (event) => act(event.detail));
  const fresh = () => { lastData = clock.wall(); };
  const rows = () => [...document.querySelectorAll('[data-job][data-seq]')];
  const activeRows = () => rows().filter((row) => ACTIVE.has(row.dataset.status));
  const redrawPage = () => redraw({ document, location, fetch, Idiomorph, htmx });

  const share = openLine({ window, user: body.dataset.user, clock, deliver });
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
  const jobs = createJobs({ rowsOf: (job) => document.querySelectorAll(`[data-job="${job}"][data-seq]`), refresh });
  const notices = createNotices({ document, clock });
  watchRelease({ document, ours: body.dataset.release, note: document.querySelector('[data-new-release]') });
  const banner = createBanner({
    root: document.getElementById('connection'),
    clock,
    tryNow: () => tell('hurry'),
    lastData: () => lastData,
    nextPath: () => location.pathname + location.search,
  });
  const headline = createHeadline({ document, rows, say: notices.say });
  const notifier = createNotifier({ document, Notification: window.Notification, leads: share.leads });
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
  const charts = attendCharts({ window });
  const ages = createAges({
    clock,
    activeRows,
    silent: () => {
      if (state() !== 'connected') return;
      tell('hurry');
      refresh.soon();
    },
  });

  async function checkSignedIn() {
    if (state() === 'signed-out' && await askSession() === 'live') tell('signed-in');
  }

  function lookAround() {
    ages.tick();
    headline.tick();
  }

  Object.assign(Idiomorph.defaults.callbacks, morphCallbacks(jobs.mayReplace));
  htmx.config.disableInheritance = true; // A region's hx-select is none of the buttons' inside it.
  guardRequests({
    document,
    state,
    tell,
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
  on('portal:progress', (event) => {
    fresh();
    jobs.progress(event);
    charts.progress(event);
    if (document.hidden) headline.tick(); // Where the clock below is slowed down, and the title is all there is to see.
  });
  on('portal:status', (event) => { fresh(); jobs.moved(event); headline.tick(); notifier.told(event); });
  on('portal:changed', (event) => { fresh(); jobs.moved({ ...event, new_status: event.status }); });
  on('portal:created', (event) => { fresh(); jobs.moved(event); });
  on('portal:missed', refresh.everybody);
  on('portal:role-changed', redrawPage);
  on('htmx:afterSwap', () => { jobs.reconcile(rows()); charts.look(); lookAround(); });

  followLifecycle({ document, window, clock, share, returned: refresh.now, looked: checkSignedIn });
  attendForms(document);
  attendMenus(document);
  repeat(createClock(), 1, lookAround);
  document.querySelectorAll('[data-job-form]').forEach(attendJobForm);
  attendBrowse({ document, htmx });
  document.querySelectorAll('[data-log]').forEach((box) => attendLog({ document, box, connection: state }));
  share.start();
  if (body.dataset.page === 'doctor') import('./doctor.js').then(({ runDoctor }) => runDoctor({ document, window, clock }));
}

if (document.body.dataset.user) live();
