// Holds at most one socket and at most one timer: an attempt under way, or the wait for the next.
// It waits longer after each failure and reports what happened; what that means for the page is decided elsewhere.

import { delay } from './backoff.js';

/** @import { Clock, Socket, SocketListener, Timer } from '../lib/types.js' */

const ATTEMPT_SECONDS = 5;

/**
 * @param {object} parts
 * @param {(listener: SocketListener) => Socket} parts.openSocket starts an attempt. It calls the
 *   listener, but never before it has returned.
 * @param {Clock} parts.clock
 * @param {() => number} parts.random
 * @param {SocketListener} parts.onEvent
 */
export function createReconnector({ openSocket, clock, random, onEvent }) {
  /** @type {Socket | null} */
  let socket = null;
  /** @type {Timer | null} */
  let timer = null;
  let waiting = false;
  let failures = 0; // In a row.

  function disconnect() {
    timer?.cancel();
    timer = null;
    waiting = false;
    const old = socket;
    socket = null;
    old?.close();
  }

  /** Attempts at once, unless an attempt is under way already. */
  function connect() {
    if (socket) return;
    disconnect();
    const mine = openSocket((...event) => {
      if (mine === socket) react(...event); // A socket given up earlier has nothing more to say.
    });
    socket = mine;
    // One limit for the whole attempt: a proxy may swallow the upgrade, a server the handshake that follows it.
    timer = clock.after(ATTEMPT_SECONDS, () => react('failed', { refused: false, why: 'timeout' }));
  }

  /** @type {SocketListener} */
  function react(...event) {
    const [name] = event;
    if (name === 'open') {
      timer?.cancel();
      timer = null;
      failures = 0;
    } else if (name === 'failed' || name === 'closed') {
      disconnect();
    }
    onEvent(...event);
  }

  /** Attempts again after the next wait. */
  function wait() {
    disconnect();
    waiting = true;
    timer = clock.after(delay(failures++, random()), () => {
      waiting = false;
      connect();
    });
  }

  return {
    connect,
    wait,
    disconnect,
    startOver: () => {
      failures = 0;
    },
    /** @type {Socket['ask']} */
    ask: (topics, answered) => {
      const asked = socket;
      asked?.ask(topics, (answer) => {
        if (asked === socket) answered(answer);
      });
    },
    nextAttemptAt: () => (waiting && timer ? timer.due : null),
    attempting: () => socket !== null && timer !== null,
    pending: () => (socket ? 1 : 0) + (timer ? 1 : 0),
  };
}
