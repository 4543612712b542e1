// The one module that owns the socket: it steps through the states as things happen to the socket, and
// publishes the outcome. Only one tab of a browser runs it (leader.js); every tab learns of it by what
// it publishes.

import { createRecord } from './connection-record.js';
import { createProbe } from './probe.js';
import { createReconnector } from './reconnector.js';

/** @import { Clock, Publish, SessionState, Snapshot, Socket, SocketListener } from '../lib/types.js' */
/** @import { StateEvent, Subscribed, Tell, Timer } from '../lib/types.js' */
/** @typedef {ReturnType<typeof createConnection>} Connection */

const DEADLINE_SECONDS = 10;

/**
 * @param {object} parts
 * @param {(listener: SocketListener) => Socket} parts.openSocket
 * @param {boolean} parts.supported whether this browser has WebSockets.
 * @param {() => Promise<SessionState>} parts.askSession
 * @param {Clock} parts.clock
 * @param {() => number} parts.random
 * @param {Publish} parts.publish gets `portal:connection` and the server's events.
 * @param {{ info: (text: string) => void }} parts.log
 */
export function createConnection(parts) {
  const { openSocket, supported, askSession, clock, random, publish, log } = parts;
  const reconnector = createReconnector({ openSocket, clock, random, onEvent });
  const probe = createProbe({ reconnector, clock, answered, silent: () => lost('no answer') });
  const record = createRecord(clock);
  /** @type {Timer | undefined} */
  let deadline;

  /** @returns {Snapshot} */
  const snapshot = () => ({
    ...record.known(),
    attempting: reconnector.attempting(),
    nextAttemptAt: reconnector.nextAttemptAt(),
  });
  const announce = () => publish('portal:connection', snapshot());

  /**
   * Steps to the next state; true if it is another one now.
   *
   * @param {StateEvent} event
   * @param {string} [why]
   */
  function step(event, why) {
    if (!record.step(event, why)) return false;
    deadline?.cancel();
    probe.cancel();
    if (record.state() === 'signed-out') reconnector.disconnect();
    return true;
  }

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

  function attempt() {
    if (supported) reconnector.connect();
    else step('unsupported', 'no WebSocket in this browser');
    if (record.state() === 'connecting') {
      deadline = clock.after(DEADLINE_SECONDS, () => tell('deadline', 'timeout'));
    }
    announce();
  }

  /**
   * Takes the connection over from where `last`, another tab's snapshot, left it.
   *
   * @param {Snapshot | null} last
   */
  function start(last = null) {
    record.resume(last);
    step('lost', 'another tab has taken over');
    if (record.state() === 'signed-out') announce();
    else attempt();
  }

  /**
   * What pages have to say: an event of the table of states, or `retry-now`: attempt at once, or if
   * connected make sure of it.
   *
   * @type {Tell}
   */
  function tell(event, why) {
    if (event === 'retry-now') retryNow();
    else if (step(event, why)) record.state() === 'connecting' ? attempt() : announce();
  }

  function retryNow() {
    if (record.state() === 'connected') {
      probe.ask();
    } else if (record.state() !== 'signed-out' && supported) {
      reconnector.startOver();
      reconnector.connect();
    }
    announce();
  }

  function close() {
    deadline?.cancel();
    probe.cancel();
    reconnector.disconnect();
  }

  return { start, tell, close, snapshot, pending: reconnector.pending };
}
