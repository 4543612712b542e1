// The connection doctor: tests from this very browser what the live page needs, and says of each what passed
// or what to change. Every check resolves to { passed, text }; none throws.

import { io } from '../../vendor/socket.io.esm.min.js';
import { at } from '../lib/base.js';
import {
  judgeClock,
  judgeEcho,
  judgePolling,
  judgeProxy,
  judgeWebSocket,
  median,
} from './doctor-verdicts.js';

const LIMIT = 5000;
const ECHOES = 10;

const socketAddress = (location) =>
  `${location.protocol.replace('http', 'ws')}//${location.host}${at('/socket.io/')}?EIO=4&transport=websocket`;

/** Milliseconds until the handshake stood, or the reason why it never did. */
function openWebSocket({ WebSocket, location }) {
  return new Promise((resolve) => {
    if (!WebSocket) return resolve({ missing: true });
    const begun = performance.now();
    const socket = new WebSocket(socketAddress(location));
    const end = (result) => {
      clearTimeout(limit);
      socket.close();
      resolve(result);
    };
    const limit = setTimeout(() => end({ silent: true }), LIMIT);
    socket.onopen = () => end({ milliseconds: performance.now() - begun });
    socket.onerror = () => end({ refused: true });
  });
}

/** The median round trip of ten questions over a socket of its own; null if there is no answer. */
async function echo() {
  const socket = io({
    path: at('/socket.io/'),
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
    timeout: LIMIT,
  });
  const times = [];
  try {
    await new Promise((resolve, reject) =>
      socket.once('connect', resolve).once('connect_error', reject),
    );
    for (let i = 0; i < ECHOES; i += 1) {
      const begun = performance.now();
      await socket.timeout(LIMIT).emitWithAck('subscribe', { topics: [] });
      times.push(performance.now() - begun);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return null; // Refused, blocked or silent: the first check says which.
  } finally {
    socket.disconnect();
  }
  return median(times);
}

async function timed(address, headers = {}) {
  const begun = performance.now();
  try {
    const answer = await fetch(address, {
      cache: 'no-store',
      headers,
      signal: AbortSignal.timeout(LIMIT),
    });
    return { status: answer.status, milliseconds: performance.now() - begun, answer };
  } catch (error) {
    if (error instanceof TypeError || error.name === 'TimeoutError') return { status: 0 };
    throw error;
  }
}

async function json(address) {
  const { status, milliseconds, answer } = await timed(address);
  return status === 200 ? { milliseconds, ...(await answer.json()) } : null;
}

function show(row, { passed, text }) {
  row.dataset.verdict = passed ? 'passed' : 'failed';
  row.querySelector('[data-verdict]').textContent = `${passed ? 'Passed' : 'To change'}: ${text}`;
}

export async function runDoctor({ document, window }) {
  const rows = new Map(
    [...document.querySelectorAll('[data-check]')].map((row) => [row.dataset.check, row]),
  );
  for (const row of rows.values()) row.querySelector('[data-verdict]').textContent = 'Testing…';
  const report = (name, verdict) => rows.has(name) && show(rows.get(name), verdict);

  const handshake = await openWebSocket(window);
  report('websocket', judgeWebSocket(handshake));
  report('echo', judgeEcho('milliseconds' in handshake ? await echo() : null));
  report(
    'polling',
    judgePolling(await timed(at('/api/dashboard/stats'), { 'HX-Request': 'true' })),
  );
  const session = await json(at('/api/session'));
  report('clock', judgeClock(session, Date.now()));
  report('proxy', judgeProxy(await json(at('/api/connection')), window.location));
}
