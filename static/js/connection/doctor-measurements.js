// What the connection doctor measures from this very browser. Nothing here throws because of what a
// server or a network does.

import { io } from '../../vendor/socket.io.esm.min.js';
import { at } from '../lib/base.js';
import { median } from './doctor-verdicts.js';
import { isNoAnswer } from './session.js';

const LIMIT = 5000;
const ECHOES = 10;

/** @param {Location} location */
const socketAddress = (location) =>
  `${location.protocol.replace('http', 'ws')}//${location.host}${at('/socket.io/')}?EIO=4&transport=websocket`;

/**
 * Milliseconds until the handshake stood, or the reason why it never did.
 *
 * @param {Window & typeof globalThis} window
 * @returns {Promise<{ milliseconds?: number, missing?: true, silent?: true, refused?: true }>}
 */
export function openWebSocket({ WebSocket, location }) {
  return new Promise((resolve) => {
    if (!WebSocket) return resolve({ missing: true });
    const begun = performance.now();
    const socket = new WebSocket(socketAddress(location));
    /** @param {{ milliseconds?: number, silent?: true, refused?: true }} result */
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
export async function echo() {
  const socket = io({
    path: at('/socket.io/'),
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
    timeout: LIMIT,
  });
  /** @type {number[]} */
  const times = [];
  try {
    /** @type {Promise<void>} */
    const connected = new Promise((resolve, reject) => {
      socket.once('connect', resolve).once('connect_error', reject);
    });
    await connected;
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

/**
 * @param {string} address
 * @param {Record<string, string>} headers
 * @returns {Promise<{ status: number, milliseconds?: number, answer?: Response }>}
 */
export async function timed(address, headers = {}) {
  const begun = performance.now();
  try {
    const answer = await fetch(address, {
      cache: 'no-store',
      headers,
      signal: AbortSignal.timeout(LIMIT),
    });
    return { status: answer.status, milliseconds: performance.now() - begun, answer };
  } catch (error) {
    if (isNoAnswer(error)) return { status: 0 };
    throw error;
  }
}

/** @param {string} address */
export async function json(address) {
  const { status, milliseconds, answer } = await timed(address);
  return answer && status === 200 ? { milliseconds, ...(await answer.json()) } : null;
}
