// What the page knows about its connection: six states and what leads from one to the next.
// A pure function over a table; an event that a state does not list changes nothing.

/** @import { State, StateEvent } from '../lib/types.js' */

/** @typedef {Readonly<{ state: State, failures: number }>} StateRecord Failures are those in a row. */
/** @typedef {(failures: number) => State | null} Rule Decides by the failures; null: no change. */

/** @type {StateRecord} */
export const FIRST = Object.freeze({ state: 'connecting', failures: 0 });
export const MAX_FAILURES = 3;

/** @type {Rule} */
const afterMaxFailures = (failures) => (failures >= MAX_FAILURES ? 'polling' : null);

/** @type {Record<State, Partial<Record<StateEvent, State | Rule>>>} */
export const TABLE = {
  connecting: {
    open: 'connected',
    'attempt-failed': afterMaxFailures,
    deadline: 'polling',
    unsupported: 'polling',
    'role-changed': 'connecting',
    'session-ended': 'signed-out',
  },
  connected: {
    lost: 'reconnecting',
    'role-changed': 'reconnecting',
    'session-ended': 'signed-out',
  },
  reconnecting: {
    open: 'connected',
    'attempt-failed': afterMaxFailures,
    'session-ended': 'signed-out',
  },
  polling: {
    open: 'connected',
    'attempt-failed': 'polling',
    'poll-failed': 'offline',
    'session-ended': 'signed-out',
  },
  offline: {
    open: 'connected',
    'attempt-failed': 'offline',
    'poll-succeeded': 'polling',
    'session-ended': 'signed-out',
  },
  'signed-out': {
    'signed-in': 'connecting',
  },
};

/** @type {Set<StateEvent>} */
const STARTS_COUNTING_AGAIN = new Set([
  'open',
  'lost',
  'role-changed',
  'session-ended',
  'signed-in',
]);

/**
 * The record after `event`; the very same record if the event means nothing in this state.
 *
 * @param {StateRecord} record
 * @param {StateEvent} event
 * @returns {StateRecord}
 */
export function next(record, event) {
  const row = TABLE[record.state];
  const entry = Object.hasOwn(row, event) ? row[event] : undefined;
  if (entry === undefined) return record;
  let { failures } = record;
  if (event === 'attempt-failed') failures += 1;
  if (STARTS_COUNTING_AGAIN.has(event)) failures = 0;
  const state = typeof entry === 'function' ? (entry(failures) ?? record.state) : entry;
  return { state, failures };
}
