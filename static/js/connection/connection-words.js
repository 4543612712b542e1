// The words of each state of the connection and which of its parts are shown: data for banner.js, no DOM.

/** @import { Snapshot, State } from '../lib/types.js' */

/** @type {Record<State, { word: string, strip: string | null, transport: string }>} */
export const WORDS = {
  connecting: { word: 'Connecting…', strip: null, transport: 'none yet' },
  connected: { word: 'Connected', strip: null, transport: 'WebSocket' },
  reconnecting: { word: 'Reconnecting…', strip: 'Reconnecting…', transport: 'none' },
  polling: {
    word: 'Polling',
    strip: 'Using polling mode (WebSocket unavailable)',
    transport: 'HTTP polling',
  },
  offline: { word: 'Offline', strip: 'Offline – showing data from ', transport: 'none' },
  'signed-out': { word: 'Signed out', strip: 'You are signed out – ', transport: 'none' },
};

/** Seconds after which a state is shown in words; a shorter one is not worth mentioning. */
/** @type {Partial<Record<State, number>>} */
export const SHOW_AFTER = { connecting: 1, reconnecting: 0.25 };
export const ANNOUNCE_AFTER = 1;
export const LIVE_AFTER = 3;

/** Shown by an open connection while events of the server's other processes do not arrive. */
const DELAYED = 'Live updates are delayed';

/**
 * `12:03:10`, in the reader's own time zone.
 *
 * @param {number} milliseconds since 1970.
 */
export function clockTime(milliseconds) {
  const date = new Date(milliseconds);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((n) => String(n).padStart(2, '0'))
    .join(':');
}

/**
 * Returns the words for the next attempt; empty if none is expected.
 *
 * @param {Pick<Snapshot, 'attempting' | 'nextAttemptAt'>} snapshot
 * @param {number} now in milliseconds since 1970.
 */
export function countdown({ attempting, nextAttemptAt }, now) {
  if (attempting) return 'trying now';
  if (nextAttemptAt === null) return '';
  return `next try in ${Math.max(1, Math.ceil((nextAttemptAt - now) / 1000))} s`;
}

/**
 * The text of the strip, or null where none is shown.
 *
 * @param {State} state
 * @param {number} lastData in milliseconds since 1970.
 */
export function stripText(state, lastData, delayed = false) {
  if (state === 'connected' && delayed) return DELAYED;
  const { strip } = WORDS[state];
  return state === 'offline' ? strip + clockTime(lastData) : strip;
}

/**
 * What is read out as a state is entered; the strip, which is read out too, says the rest.
 *
 * @param {State} state
 * @param {boolean} delayed
 */
export function announcementFor(state, delayed) {
  if (state !== 'connected') return '';
  return delayed ? DELAYED : WORDS[state].word;
}

/**
 * The rows of the panel, as texts.
 *
 * @param {Pick<Snapshot, 'state' | 'since' | 'roundTrip' | 'reason'> & { lastData: number }} known
 */
export function facts({ state, since, roundTrip, lastData, reason }) {
  return {
    since: clockTime(since),
    transport: WORDS[state].transport,
    roundTrip: state === 'connected' && roundTrip !== null ? `${roundTrip} ms` : '–',
    lastData: clockTime(lastData),
    reason: reason ?? '–',
  };
}
