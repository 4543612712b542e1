// What every htmx request of a signed-in page has in common: the CSRF token, a time limit, no request
// while signed out, a 401 that greys the page instead of leaving it, and what its outcome says about
// the network.

import { findOptional } from '../lib/dom.js';

/** @import { RequestDetail, State, Tell } from '../lib/types.js' */

const LIMIT_MILLISECONDS = 10_000;
const UNREACHABLE = new Set([502, 503, 504]);

/** @type {Partial<Record<State, 'poll-failed' | 'poll-succeeded'>>} */
const OUTCOMES = { polling: 'poll-failed', offline: 'poll-succeeded' };

/**
 * What a finished GET tells: `poll-failed` if nobody answered it, else `poll-succeeded`.
 *
 * @param {number} status
 */
export function verdict(status) {
  return status === 0 || UNREACHABLE.has(status) ? 'poll-failed' : 'poll-succeeded';
}

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {() => State} page.state
 * @param {Tell} page.tell
 * @param {() => void} page.answered is called when data has come.
 * @param {(xhr: XMLHttpRequest) => void} page.refused is called when a change was not made.
 * @param {(row: HTMLElement, seq: number) => boolean} page.mayReplace as in jobs.js.
 */
export function guardRequests({ document, state, tell, answered, refused, mayReplace }) {
  function token() {
    /** @type {HTMLMetaElement | null} */
    const meta = findOptional(document, 'meta[name="csrf-token"]');
    return meta?.content;
  }

  /** @param {CustomEvent<RequestDetail>} event */
  function report({ detail: { requestConfig, xhr } }) {
    if (requestConfig.verb !== 'get') return;
    const outcome = verdict(xhr.status);
    if (outcome === 'poll-succeeded' && xhr.status < 400) answered();
    if (outcome === OUTCOMES[state()]) tell(outcome);
  }

  document.addEventListener('htmx:configRequest', ({ detail }) => {
    if (detail.verb !== 'get') detail.headers['X-CSRFToken'] = token();
    // A storage elsewhere may take its time.
    /** @type {HTMLElement | null | undefined} */
    const patient = detail.elt?.closest?.('[data-patience]');
    detail.timeout = Number(patient?.dataset.patience ?? LIMIT_MILLISECONDS);
  });
  document.addEventListener('htmx:beforeRequest', (event) => {
    if (state() === 'signed-out') event.preventDefault();
  });
  document.addEventListener('htmx:beforeOnLoad', (event) => {
    if (event.detail.xhr.status !== 401) return;
    event.preventDefault(); // Its HX-Redirect would take the shown data, and half-typed forms, away.
    tell('session-ended', 'expired');
  });
  document.addEventListener('htmx:beforeSwap', ({ detail }) => {
    const { target, xhr, serverResponse, requestConfig } = detail;
    // What has no turn says so in the place of its answer.
    const isAnswer = xhr.status === 429 && requestConfig?.elt?.closest('[data-patience]');
    if (xhr.status === 422 || isAnswer) Object.assign(detail, { shouldSwap: true, isError: false });
    const seq = target.dataset?.seq && /data-seq="(\d+)"/.exec(serverResponse);
    if (seq && !mayReplace(target, Number(seq[1]))) detail.shouldSwap = false;
  });
  document.addEventListener('htmx:responseError', ({ detail: { xhr, requestConfig } }) => {
    if (requestConfig.verb !== 'get') refused(xhr);
  });
  // One of these three ends every request that was not aborted by the page itself.
  document.addEventListener('htmx:afterOnLoad', report);
  document.addEventListener('htmx:sendError', report);
  document.addEventListener('htmx:timeout', report);
}

/**
 * Shows `note` once an answer is of another release. After an upgrade an open page is of the release
 * before and goes on: nothing half-typed is lost by a reload that nobody asked for.
 *
 * @param {object} page
 * @param {Document} page.document
 * @param {string} [page.ours] the release of this page.
 * @param {HTMLElement | null} page.note
 */
export function watchRelease({ document, ours, note }) {
  document.addEventListener('htmx:afterRequest', ({ detail }) => {
    const theirs = detail.xhr?.getResponseHeader('Portal-Release');
    if (theirs && theirs !== ours && note) note.hidden = false;
  });
}
