// Holds at most one socket and at most one timer: an attempt under way, or the wait for the next.
// It climbs the ladder and reports what happened; what that means for the page is decided elsewhere.

import { delay } from './backoff.js';

const ATTEMPT_SECONDS = 5;

/**
 * `openSocket(listener)` starts an attempt and returns `{ close(), ask(topics, answered) }`. It calls the listener,
 * never before it has returned, with `open`, `failed` {refused, why}, `closed` {why} or the name of a server event.
 */
export function createReconnector({ openSocket, clock, random, heard }) {
  let socket = null;
  let timer = null;
  let waiting = false;
  let rung = 0;

  function hangUp() {
    timer?.cancel();
    timer = null;
    waiting = false;
    const old = socket;
    socket = null;
    old?.close();
  }

  /** Attempts at once, unless an attempt is under way already. */
  function dial() {
    if (socket) return;
    hangUp();
    const mine = openSocket((event, payload) => {
      if (mine === socket) react(event, payload); // A socket given up earlier has nothing more to say.
    });
    socket = mine;
    // One limit for the whole attempt: a proxy may swallow the upgrade, a server the handshake that follows it.
    timer = clock.after(ATTEMPT_SECONDS, () => react('failed', { refused: false, why: 'timeout' }));
  }

  function react(event, payload) {
    if (event === 'open') {
      timer.cancel();
      timer = null;
      rung = 0;
    } else if (event === 'failed' || event === 'closed') {
      hangUp();
    }
    heard(event, payload);
  }

  /** Attempts again after the ladder's next wait. */
  function wait() {
    hangUp();
    waiting = true;
    timer = clock.after(delay(rung++, random()), () => {
      waiting = false;
      dial();
    });
  }

  return {
    dial,
    wait,
    hangUp,
    startOver: () => {
      rung = 0;
    },
    ask: (topics, answered) => {
      const asked = socket;
      asked.ask(topics, (answer) => asked === socket && answered(answer));
    },
    nextAttemptAt: () => (waiting ? timer.due : null),
    attempting: () => socket !== null && timer !== null,
    pending: () => (socket ? 1 : 0) + (timer ? 1 : 0),
  };
}
