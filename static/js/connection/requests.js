// What every htmx request of a signed-in page has in common: the CSRF token, a time limit, no request while signed out,
// a 401 that greys the page instead of leaving it, and what its outcome says about the network.

const LIMIT_MILLISECONDS = 10_000;
const UNREACHABLE = new Set([502, 503, 504]);

/** What a finished GET tells: `poll-failed` if nobody answered it, else `poll-succeeded`. */
export function verdict(status) {
  return status === 0 || UNREACHABLE.has(status) ? 'poll-failed' : 'poll-succeeded';
}

/** `mayReplace(row, seq)` as in jobs.js; `state()` is the page's; `tell`, `answered` and `refused(xhr)` report. */
export function guardRequests({ document, state, tell, answered, refused, mayReplace }) {
  const token = () => document.querySelector('meta[name="csrf-token"]')?.content;

  function report({ requestConfig, xhr }) {
    if (requestConfig.verb !== 'get') return;
    const outcome = verdict(xhr.status);
    if (outcome === 'poll-succeeded' && xhr.status < 400) answered();
    const news = { polling: 'poll-failed', offline: 'poll-succeeded' }[state()];
    if (outcome === news) tell(outcome);
  }

  const handlers = {
    'htmx:configRequest'(event) {
      if (event.detail.verb !== 'get') event.detail.headers['X-CSRFToken'] = token();
      // A storage elsewhere may take its time.
      const patience = event.detail.elt?.closest?.('[data-patience]')?.dataset.patience;
      event.detail.timeout = Number(patience ?? LIMIT_MILLISECONDS);
    },
    'htmx:beforeRequest'(event) {
      if (state() === 'signed-out') event.preventDefault();
    },
    'htmx:beforeOnLoad'(event) {
      if (event.detail.xhr.status !== 401) return;
      event.preventDefault(); // Its HX-Redirect would take the shown data, and half-typed forms, away.
      tell('session-ended', 'expired');
    },
    'htmx:beforeSwap'(event) {
      const { target, xhr, serverResponse } = event.detail;
      if (xhr.status === 422) Object.assign(event.detail, { shouldSwap: true, isError: false });
      const seq = target.dataset?.seq && /data-seq="(\d+)"/.exec(serverResponse);
      if (seq && !mayReplace(target, Number(seq[1]))) event.detail.shouldSwap = false;
    },
    // One of these three ends every request that was not aborted by the page itself.
    'htmx:afterOnLoad': (event) => report(event.detail),
    'htmx:responseError'({ detail: { xhr, requestConfig } }) {
      if (requestConfig.verb !== 'get') refused(xhr);
    },
    'htmx:sendError': (event) => report(event.detail),
    'htmx:timeout': (event) => report(event.detail),
  };
  for (const [name, handler] of Object.entries(handlers)) document.addEventListener(name, handler);
}

/**
 * After an upgrade an open page is of the release before (`ours`). It goes on, and shows `note`: nothing half-typed is
 * lost by a reload that nobody asked for.
 */
export function watchRelease({ document, ours, note }) {
  document.addEventListener('htmx:afterRequest', ({ detail }) => {
    const theirs = detail.xhr?.getResponseHeader('Portal-Release');
    if (theirs && theirs !== ours && note) note.hidden = false;
  });
}
