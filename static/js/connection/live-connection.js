// Puts this tab's part of the live connection together from what its browser has.

import { at } from '../lib/base.js';
import { createConnection } from './connection.js';
import { askSession } from './session.js';
import { shareConnection } from './shared-connection.js';
import { openSocket } from './socket.js';

/** @import { Clock, Publish } from '../lib/types.js' */

/**
 * @param {object} page
 * @param {Window & typeof globalThis} page.window
 * @param {string} page.user
 * @param {Clock} page.clock
 * @param {Publish} page.deliver gets the connection's state and the server's events.
 */
export function openLiveConnection({ window, user, clock, deliver }) {
  const { BroadcastChannel, WebSocket, navigator } = window;
  const supported = Boolean(WebSocket);
  return shareConnection({
    user: user + at(''), // Of this portal: another one may stand below another path of the host.
    clock,
    deliver,
    // Without WebSocket there is nothing to share. Locks are missing where the page is served by plain HTTP.
    locks: supported ? navigator.locks : null,
    openChannel: BroadcastChannel
      ? (/** @type {string} */ name) => new BroadcastChannel(name)
      : null,
    connect: (/** @type {Publish} */ publish) =>
      createConnection({
        openSocket,
        supported,
        askSession,
        clock,
        random: Math.random,
        publish,
        log: console,
      }),
  });
}
