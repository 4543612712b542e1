// The live connection: it begins the attempts, steps through the states as things happen to its socket
// (socket-events.js) or pages say so, and publishes the outcome. Only one tab of a browser runs it
// (shared-connection.js); every tab learns of it by what it publishes.

import { createRecord } from './connection-record.js';
import { followSocket } from './socket-events.js';

/** @import { Clock, Publish, SessionState, Snapshot, Socket, SocketListener } from '../lib/types.js' */
/** @import { StateEvent, Tell, Timer } from '../lib/types.js' */
/** @typedef {ReturnType<typeof createConnection>} Connection */

const DEADLINE_SECONDS = 10;

/**
 * @typedef {object} Parts
 * @property {(listener: SocketListener) => Socket} openSocket
 * @property {boolean} supported whether this browser has WebSockets.
 * @property {() => Promise<SessionState>} askSession
 * @property {Clock} clock
 * @property {() => number} random
 * @property {Publish} publish gets `portal:connection` and the server's events.
 * @property {{ info: (text: string) => void }} log
 */

/** @param {Parts} parts */
export function createConnection(parts) {
  const { supported, clock, publish } = parts;
  const record = createRecord(clock);
  const { reconnector, probe } = followSocket(parts, { record, step, announce, tell });
  /** @type {Timer | undefined} */
  let deadline;

  /** @returns {Snapshot} */
  const snapshot = () => ({
    ...record.known(),
    attempting: reconnector.attempting(),
    nextAttemptAt: reconnector.nextAttemptAt(),
  });

  function announce() {
    publish('portal:connection', snapshot());
  }

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
