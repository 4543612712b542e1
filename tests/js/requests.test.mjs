import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guardRequests, verdict } from '../../static/js/connection/requests.js';
import { jobRow, openWindow } from './page.mjs';

function page(state) {
  const window = openWindow();
  const { document } = window;
  document.head.innerHTML = '<meta name="csrf-token" content="token">';
  const at = { state, told: [], answered: 0, refused: 0 };
  guardRequests({
    document,
    state: () => at.state,
    tell: (event) => at.told.push(event),
    answered: () => {
      at.answered += 1;
    },
    refused: () => {
      at.refused += 1;
    },
    mayReplace: (row, seq) => seq >= Number(row.dataset.seq),
  });
  at.fire = (name, detail) => {
    const event = new window.CustomEvent(name, { cancelable: true, detail });
    document.dispatchEvent(event);
    return event;
  };
  return at;
}

const get = (status) => ({ requestConfig: { verb: 'get' }, xhr: { status } });

test('only silence and a gateway that finds nobody count as failed', () => {
  assert.deepEqual([0, 502, 503, 504].map(verdict), Array(4).fill('poll-failed'));
  assert.deepEqual([200, 404, 500].map(verdict), Array(3).fill('poll-succeeded'));
});

test('a failing poll matters only while polling, a succeeding one only while offline', () => {
  for (const [state, expected] of Object.entries({
    connected: [],
    reconnecting: [],
    polling: ['poll-failed'],
    offline: ['poll-succeeded'],
  })) {
    const at = page(state);
    at.fire('htmx:sendError', get(0));
    at.fire('htmx:afterOnLoad', get(200));
    assert.deepEqual(at.told, expected, state);
  }
});

test('a 401 keeps the page and ends the session, its redirect is not followed', () => {
  const at = page('polling');
  const event = at.fire('htmx:beforeOnLoad', get(401));
  assert.ok(event.defaultPrevented);
  assert.deepEqual(at.told, ['session-ended']);
});

test('while signed out no request leaves the page', () => {
  assert.ok(page('signed-out').fire('htmx:beforeRequest', {}).defaultPrevented);
  assert.ok(!page('offline').fire('htmx:beforeRequest', {}).defaultPrevented);
});

test('what changes something carries the token, what reads does not', () => {
  const at = page('connected');
  const post = at.fire('htmx:configRequest', { verb: 'post', headers: {} });
  const read = at.fire('htmx:configRequest', { verb: 'get', headers: {} });
  assert.equal(post.detail.headers['X-CSRFToken'], 'token');
  assert.deepEqual(read.detail.headers, {});
});

test('a slow reply cannot undo a newer push', () => {
  const at = page('polling');
  const reply = (seq) =>
    at.fire('htmx:beforeSwap', {
      target: jobRow({ seq: 5 }),
      xhr: { status: 200 },
      shouldSwap: true,
      serverResponse: `<li data-job="17" data-seq="${seq}">`,
    });
  assert.equal(reply(4).detail.shouldSwap, false);
  assert.equal(reply(5).detail.shouldSwap, true);
});

test('what has no turn says so where its answer would be, and a poll does not', () => {
  const { document } = openWindow();
  document.body.innerHTML = '<dialog data-patience="25000"><button></button></dialog><p></p>';
  const swaps = (elt) =>
    page('connected').fire('htmx:beforeSwap', {
      target: document.body,
      requestConfig: { verb: 'get', elt },
      xhr: { status: 429 },
      shouldSwap: false,
    }).detail.shouldSwap;
  assert.equal(swaps(document.querySelector('button')), true);
  assert.equal(swaps(document.querySelector('p')), false);
});

test('a refused form is shown again with its errors; a refused click is told', () => {
  const at = page('connected');
  assert.equal(
    at.fire('htmx:beforeSwap', {
      target: openWindow().document.body,
      xhr: { status: 422 },
      shouldSwap: false,
      isError: true,
    }).detail.shouldSwap,
    true,
  );
  at.fire('htmx:responseError', { requestConfig: { verb: 'post' }, xhr: { status: 409 } });
  assert.equal(at.refused, 1);
});
