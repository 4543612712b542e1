// Asks the server for an answer over the socket: by it the page subscribes, learns the round trip,
// and finds out that a connection which looks open is dead.

/** @import { Clock, Subscribed, Timer } from '../lib/types.js' */

export const TOPICS = ['progress', 'status_change'];
const ANSWER_SECONDS = 5;

/**
 * @param {object} parts
 * @param {{ ask: import('../lib/types.js').Socket['ask'] }} parts.reconnector
 * @param {Clock} parts.clock
 * @param {(answer: Subscribed, milliseconds: number) => void} parts.answered
 * @param {() => void} parts.silent is called when no answer came in time.
 */
export function createProbe({ reconnector, clock, answered, silent }) {
  /** @type {Timer | null} */
  let limit = null;

  function cancel() {
    limit?.cancel();
    limit = null;
  }

  /**
   * Asks, unless an answer is still awaited: a new question would begin the wait anew and so put off
   * the moment at which a dead connection is found out.
   */
  function ask() {
    if (limit) return;
    const asked = clock.now();
    limit = clock.after(ANSWER_SECONDS, silent);
    reconnector.ask(TOPICS, (answer) => {
      cancel();
      answered(answer, Math.round((clock.now() - asked) * 1000));
    });
  }

  return { ask, cancel };
}
