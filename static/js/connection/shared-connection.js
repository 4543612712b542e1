// One socket per browser and user: the tab that leads runs the connection, the others hear of it by a
// channel. Where locks or channels are missing, each tab holds its own.

import { createLeadership } from './leadership.js';

/** @import { Channel, Clock, Message, Publish, Snapshot, State, Tell } from '../lib/types.js' */
/** @import { Connection } from './connection.js' */
/** @import { Locks } from './leadership.js' */
/** @typedef {ReturnType<typeof shareConnection>} Share */

/**
 * @param {object} parts
 * @param {string} parts.user
 * @param {(publish: Publish) => Connection} parts.connect makes the connection.
 * @param {Publish} parts.deliver gets what it publishes, in every tab.
 * @param {Clock} parts.clock
 * @param {Locks | null} parts.locks the browser's.
 * @param {((name: string) => Channel) | null} parts.openChannel the browser's.
 */
export function shareConnection({ user, connect, deliver, clock, locks, openChannel }) {
  const room = `portal-socket-${user}`;
  const shared = locks && openChannel ? { locks, openChannel } : null;
  const connection = connect(publish);
  /** @type {Channel | null} */
  let channel = null;
  /** @type {Snapshot | null} The newest one, from here or from the leader. */
  let last = null;
  const leadership = createLeadership({
    room,
    locks: shared?.locks ?? null,
    clock,
    lead: () => connection.start(last),
    waits: () => channel?.postMessage({ name: 'hello' }),
    left: connection.close,
  });

  /** @type {Publish} */
  function spread(name, detail) {
    if (name === 'portal:connection') last = /** @type {Snapshot} */ (detail);
    deliver(name, detail);
    // A tab that knows itself signed out holds no socket and waits for none.
    if (last?.state === 'signed-out') leadership.leave();
    else leadership.join();
  }

  /** @type {Publish} */
  function publish(name, detail) {
    channel?.postMessage({ name, detail });
    spread(name, detail);
  }

  /** @param {MessageEvent<Message>} event */
  function received({ data }) {
    if (data.name === 'hello') {
      if (leadership.leads()) {
        channel?.postMessage({ name: 'portal:connection', detail: connection.snapshot() });
      }
    } else if (data.name === 'tell') {
      if (leadership.leads()) connection.tell(data.event, data.why);
    } else if (!leadership.leads()) {
      leadership.leaderSeen();
      spread(data.name, data.detail);
    } else if ('state' in data.detail && data.detail.state === 'signed-out') {
      // It ended just as this tab took over.
      connection.tell('session-ended', data.detail.reason ?? undefined);
    }
  }

  /** Takes part; again after `suspend`. */
  function start() {
    channel = shared?.openChannel(room) ?? null;
    if (channel) channel.onmessage = received;
    if (last?.state !== 'signed-out') leadership.join();
  }

  /** Gives up socket, lock and channel: the page goes to sleep or away. */
  function suspend() {
    leadership.leave();
    channel?.close();
    channel = null;
  }

  /**
   * Tells whoever holds the socket; see `tell` in connection.js.
   *
   * @type {Tell}
   */
  function tell(event, why) {
    if (leadership.leads()) return connection.tell(event, why);
    if (event === 'signed-in') {
      last = null;
      return leadership.join();
    }
    channel?.postMessage({ name: 'tell', event, why });
    if (event === 'retry-now' && leadership.isIn()) leadership.expectAnswer();
  }

  /** @returns {State} */
  const state = () => last?.state ?? 'connecting';

  return { start, suspend, tell, leads: leadership.leads, state };
}
