// Which tab of a browser holds the socket: the one that holds the lock. The others queue for it, and
// take it from a holder that does not answer.

/** @import { Clock, Timer } from '../lib/types.js' */

/**
 * @typedef {object} Locks What is needed of the browser's LockManager.
 * @property {(name: string, options: LockOptions, hold: () => Promise<void>) => Promise<void>} request
 */

const SILENCE_SECONDS = 3;
/** @type {Locks} For a tab that has nobody to share with. */
const NO_LOCKS = { request: (_name, _options, hold) => hold() };

/**
 * @param {object} parts
 * @param {string} parts.room the name of the lock.
 * @param {Locks | null} parts.locks null in a tab that leads itself.
 * @param {Clock} parts.clock
 * @param {() => void} parts.lead is called once this tab holds the lock.
 * @param {() => void} parts.waits is called when this tab has begun to queue for it.
 * @param {() => void} parts.left is called when this tab has given up lock and place in the queue.
 */
export function createLeadership({ room, locks, clock, lead, waits, left }) {
  /** @type {(() => void) | null} Ends our hold of the lock; null in a tab that does not lead. */
  let release = null;
  /** @type {AbortController | null} Takes us out of the queue for the lock. */
  let queue = null;
  /** @type {Timer | null} */
  let silence = null;

  /** @returns {Promise<void>} resolves when the lock is to be given up. */
  function hold() {
    leaderSeen();
    return new Promise((resolve) => {
      release = resolve;
      lead();
    });
  }

  /** @param {LockOptions} options */
  function request(options) {
    const mine = queue;
    (locks ?? NO_LOCKS).request(room, options, hold).catch((error) => {
      if (error.name !== 'AbortError') throw error;
      if (mine !== queue) return; // We left the queue ourselves.
      leave(); // Another tab took the lock: queue up behind it.
      join();
    });
  }

  /** A leader that does not answer is stuck: take its place. Being asked again gives no more time. */
  function expectAnswer() {
    silence ??= clock.after(SILENCE_SECONDS, () => {
      silence = null;
      request({ steal: true });
    });
  }

  function leaderSeen() {
    silence?.cancel();
    silence = null;
  }

  function join() {
    if (queue) return;
    queue = new AbortController();
    request({ signal: queue.signal });
    if (release) return;
    waits();
    expectAnswer();
  }

  function leave() {
    queue?.abort();
    queue = null;
    leaderSeen();
    release?.();
    release = null;
    left();
  }

  return {
    join,
    leave,
    expectAnswer,
    leaderSeen,
    leads: () => release !== null,
    isIn: () => queue !== null,
  };
}
