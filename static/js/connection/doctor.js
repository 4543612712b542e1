// The connection doctor: tests from this very browser what the live page needs, and says of each what
// passed or what to change.

import { at } from '../lib/base.js';
import { find, findAll } from '../lib/dom.js';
import { echo, json, openWebSocket, timed } from './doctor-measurements.js';
import { judgeProxy } from './doctor-proxy.js';
import { judgeClock, judgeEcho, judgePolling, judgeWebSocket } from './doctor-verdicts.js';

/** @import { Verdict } from './doctor-verdicts.js' */

/**
 * @param {HTMLElement} row
 * @param {Verdict} verdict
 */
function show(row, { passed, text }) {
  row.dataset.verdict = passed ? 'passed' : 'failed';
  find(row, '[data-verdict]').textContent = `${passed ? 'Passed' : 'Problem'}: ${text}`;
}

/** @param {{ document: Document, window: Window & typeof globalThis }} page */
export async function runDoctor({ document, window }) {
  const rows = new Map(findAll(document, '[data-check]').map((row) => [row.dataset.check, row]));
  for (const row of rows.values()) find(row, '[data-verdict]').textContent = 'Testing…';

  /**
   * @param {string} name
   * @param {Verdict} verdict
   */
  function report(name, verdict) {
    const row = rows.get(name);
    if (row) show(row, verdict);
  }

  const handshake = await openWebSocket(window);
  report('websocket', judgeWebSocket(handshake));
  report('echo', judgeEcho('milliseconds' in handshake ? await echo() : null));
  const poll = await timed(at('/api/dashboard/stats'), { 'HX-Request': 'true' });
  report('polling', judgePolling(poll));
  const session = await json(at('/api/session'));
  report('clock', judgeClock(session, Date.now()));
  report('proxy', judgeProxy(await json(at('/api/connection')), window.location));
}
