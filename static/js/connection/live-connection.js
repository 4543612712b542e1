// Puts this tab's part of the live connection together from what its browser has. The page hears of it
// by events of its document, which also tell when the page last got data.

import { at } from '../lib/base.js';
import { createConnection } from './connection.js';
import { askSession } from './session.js';
import { shareConnection } from './shared-connection.js';
import { openSocket } from './socket.js';

/** @import { Clock, Publish, Snapshot } from '../lib/types.js' */

const SERVER_EVENTS = ['portal:progress', 'portal:status', 'portal:changed', 'portal:created'];

/** @param {{ document: Document, clock: Clock }} page */
export function createPageEvents({ document, clock }) {
  const { dataset } = document.body;
  let lastData = clock.wall();

  function gotData() {
    lastData = clock.wall();
  }

  /**
   * @param {string} name
   * @param {object} detail
   */
  const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

  /** @type {Publish} */
  function deliver(name, detail) {
    if (name === 'portal:connection') {
      const snapshot = /** @type {Snapshot} */ (detail);
      const previous = dataset.state ?? null;
      dataset.state = snapshot.state;
      dispatch(name, { ...snapshot, previous, lastData });
    } else {
      dispatch(name, detail);
    }
  }

  document.addEventListener('portal:connection', ({ detail }) => {
    if (detail.state === 'connected') gotData();
  });
  for (const name of SERVER_EVENTS) document.addEventListener(name, gotData);
  return { deliver, gotData, lastData: () => lastData };
}

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
