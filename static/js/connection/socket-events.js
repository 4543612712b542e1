// What happens to the socket of the live connection, and what the server says over it: each becomes a
// step of the state, a new attempt, or an event of the page.

import { createProbe } from './probe.js';
import { createReconnector } from './reconnector.js';

/** @import { SocketListener, StateEvent, Subscribed, Tell } from '../lib/types.js' */
/** @import { Parts } from './connection.js' */
/** @import { createRecord } from './connection-record.js' */

/**
 * @param {Parts} parts
 * @param {object} connection
 * @param {ReturnType<typeof createRecord>} connection.record
 * @param {(event: StateEvent, why?: string) => boolean} connection.step
 * @param {() => void} connection.announce
 * @param {Tell} connection.tell
 */
export function followSocket(parts, { record, step, announce, tell }) {
  const { openSocket, askSession, clock, random, publish, log } = parts;
  const reconnector = createReconnector({ openSocket, clock, random, onEvent });
  const probe = createProbe({ reconnector, clock, answered, silent: () => lost('no answer') });

  /** @type {SocketListener} */
  function onEvent(...[event, payload]) {
    if (event === 'open') opened();
    else if (event === 'failed') failed(payload);
    else if (event === 'closed') lost(payload.why);
    else if (event === 'session_ended') sessionEnded(payload.reason);
    else if (event === 'live_delayed') isDelayed(payload.delayed);
    else if (event === 'job_progress') publish('portal:progress', payload);
    else if (event === 'job_status_change') publish('portal:status', payload);
    else if (event === 'job_created') publish('portal:created', payload);
    else if (event === 'job_changed') publish('portal:changed', payload);
    else if (event === 'refresh') publish('portal:missed', payload);
  }

  function opened() {
    log.info('Portal: connected');
    step('open');
    probe.ask();
    announce();
  }

  /**
   * A new connection hears of it before it hears that it is open.
   *
   * @param {boolean} value
   */
  function isDelayed(value) {
    record.setDelayed(value);
    announce();
  }

  /**
   * @param {Subscribed} answer
   * @param {number} milliseconds
   */
  function answered(answer, milliseconds) {
    record.setRoundTrip(milliseconds);
    log.info(
      `Portal: subscribed to ${answer.topics} as ${answer.role}, round trip ${milliseconds} ms`,
    );
    announce();
  }

  /** @param {{ refused: boolean, why: string }} outcome */
  function failed({ refused, why }) {
    step('attempt-failed', why);
    reconnector.wait();
    announce();
    // The browser hides why an upgrade failed; only HTTP can tell "signed out" from "blocked".
    if (refused || record.failures() % 2 === 0) checkSession();
  }

  /** @param {string} why */
  function lost(why) {
    const seconds = Math.round((clock.wall() - record.since()) / 1000);
    log.info(`Portal: disconnected after ${seconds} s (${why})`);
    step('lost', why);
    reconnector.wait();
    announce();
    if (why === 'io server disconnect') checkSession();
  }

  /** @param {string} why */
  function sessionEnded(why) {
    log.info(`Portal: session ended (${why})`);
    if (why !== 'role_changed') return tell('session-ended', why);
    step('role-changed', why);
    reconnector.disconnect();
    reconnector.connect();
    announce();
    publish('portal:role-changed', {});
  }

  async function checkSession() {
    if ((await askSession()) === 'ended') tell('session-ended', 'expired');
  }

  return { reconnector, probe };
}
