// The one module that owns the socket: it tells the state machine what happens to it and publishes the outcome.
// Only one tab of a browser runs it (leader.js); every tab learns of it by what it publishes.

import { FIRST, next } from './connection-state.js';
import { createProbe } from './probe.js';
import { createReconnector } from './reconnector.js';

const DEADLINE_SECONDS = 10;
const SERVER_EVENTS = {
  job_progress: 'portal:progress',
  job_status_change: 'portal:status',
  job_created: 'portal:created',
  job_changed: 'portal:changed',
  refresh: 'portal:missed',
};

/** `publish(name, detail)` gets `portal:connection` and the server's events; `askSession()` resolves to live, ended or unknown. */
export function createConnection({
  openSocket,
  supported,
  askSession,
  clock,
  random,
  publish,
  log,
}) {
  const reconnector = createReconnector({ openSocket, clock, random, heard });
  const probe = createProbe({ reconnector, clock, answered, silent: () => lost('no answer') });
  let record = FIRST;
  let since = clock.wall();
  let reason = null;
  let roundTrip = null;
  let delayed = false; // What the server says of its other processes; of each connection anew.
  let deadline = null;

  const snapshot = () => ({
    state: record.state,
    attempts: record.failures,
    attempting: reconnector.attempting(),
    nextAttemptAt: reconnector.nextAttemptAt(),
    since,
    reason,
    roundTrip,
    delayed,
  });
  const announce = () => publish('portal:connection', snapshot());

  /** Moves the machine; true if the state is another one now. */
  function step(event, why = null) {
    const before = record.state;
    record = next(record, event);
    if (record.state === before) return false;
    if (before === 'connected') delayed = false;
    since = clock.wall();
    reason = why;
    deadline?.cancel();
    probe.cancel();
    if (record.state === 'signed-out') reconnector.hangUp();
    return true;
  }

  function heard(event, payload) {
    if (event in SERVER_EVENTS) publish(SERVER_EVENTS[event], payload);
    else if (event === 'open') opened();
    else if (event === 'failed') failed(payload);
    else if (event === 'closed') lost(payload.why);
    else if (event === 'session_ended') sessionEnded(payload.reason);
    else if (event === 'live_delayed') isDelayed(payload.delayed);
  }

  function opened() {
    log.info('Portal: connected');
    step('open');
    probe.ask();
    announce();
  }

  /** A new connection hears of it before it hears that it is open. */
  function isDelayed(value) {
    delayed = value;
    announce();
  }

  function answered(answer, milliseconds) {
    roundTrip = milliseconds;
    log.info(
      `Portal: subscribed to ${answer.topics} as ${answer.role}, round trip ${milliseconds} ms`,
    );
    announce();
  }

  function failed({ refused, why }) {
    step('attempt-failed', why);
    reconnector.wait();
    announce();
    // The browser hides why an upgrade failed; only HTTP can tell "signed out" from "blocked".
    if (refused || record.failures % 2 === 0) checkSession();
  }

  function lost(why) {
    log.info(`Portal: disconnected after ${Math.round((clock.wall() - since) / 1000)} s (${why})`);
    step('lost', why);
    reconnector.wait();
    announce();
    if (why === 'io server disconnect') checkSession();
  }

  function sessionEnded(why) {
    log.info(`Portal: session ended (${why})`);
    if (why !== 'role_changed') return tell('session-ended', why);
    step('role-changed', why);
    reconnector.hangUp();
    reconnector.dial();
    announce();
    publish('portal:role-changed', {});
  }

  async function checkSession() {
    if ((await askSession()) === 'ended') tell('session-ended', 'expired');
  }

  function attempt() {
    if (supported) reconnector.dial();
    else step('unsupported', 'no WebSocket in this browser');
    if (record.state === 'connecting')
      deadline = clock.after(DEADLINE_SECONDS, () => tell('deadline', 'timeout'));
    announce();
  }

  /** Takes the line over from where `last`, another tab's snapshot, left it. */
  function start(last = null) {
    record = last ? { state: last.state, failures: last.attempts } : FIRST;
    since = last?.since ?? clock.wall();
    step('lost', 'another tab has taken over');
    if (record.state === 'signed-out') announce();
    else attempt();
  }

  /** What pages have to say: an event of the machine, or `retry-now`: attempt at once (when connected: make sure). */
  function tell(event, why) {
    if (event === 'retry-now') retryNow();
    else if (step(event, why)) record.state === 'connecting' ? attempt() : announce();
  }

  function retryNow() {
    if (record.state === 'connected') {
      probe.ask();
    } else if (record.state !== 'signed-out' && supported) {
      reconnector.startOver();
      reconnector.dial();
    }
    announce();
  }

  function close() {
    deadline?.cancel();
    probe.cancel();
    reconnector.hangUp();
  }

  return { start, tell, close, snapshot, pending: reconnector.pending };
}
