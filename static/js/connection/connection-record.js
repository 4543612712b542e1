// What is known of the connection: its state, since when and why, and what the server said of it.

import { FIRST, next } from './connection-state.js';

/** @import { Clock, Snapshot, StateEvent } from '../lib/types.js' */

/** @param {Clock} clock */
export function createRecord(clock) {
  let record = FIRST;
  let since = clock.wall();
  /** @type {string | null} */
  let reason = null;
  /** @type {number | null} */
  let roundTrip = null;
  let delayed = false; // What the server says of its other processes; of each connection anew.

  /**
   * Takes one step through the table of states; true if the state is another one now.
   *
   * @param {StateEvent} event
   * @param {string | null} why
   */
  function step(event, why = null) {
    const before = record.state;
    record = next(record, event);
    if (record.state === before) return false;
    if (before === 'connected') delayed = false;
    since = clock.wall();
    reason = why;
    return true;
  }

  /**
   * Goes on where `last` left off, the snapshot of another tab, or begins anew.
   *
   * @param {Snapshot | null} last
   */
  function resume(last) {
    record = last ? { state: last.state, failures: last.attempts } : FIRST;
    since = last?.since ?? clock.wall();
  }

  return {
    step,
    resume,
    state: () => record.state,
    failures: () => record.failures,
    since: () => since,
    /** @param {number} milliseconds */
    setRoundTrip(milliseconds) {
      roundTrip = milliseconds;
    },
    /** @param {boolean} value */
    setDelayed(value) {
      delayed = value;
    },
    /** What other tabs hear of it, apart from the attempts that the reconnector knows of. */
    known: () => ({
      state: record.state,
      attempts: record.failures,
      since,
      reason,
      roundTrip,
      delayed,
    }),
  };
}
