// Puts Socket.IO's client behind the few calls that reconnector.js expects: one attempt, one socket,
// no reconnection of its own.

import { io } from '../../vendor/socket.io.esm.min.js';
import { at } from '../lib/base.js';

/** @import { Socket, SocketListener } from '../lib/types.js' */

/**
 * An attempt that begins at once; `listener` hears open, failed, closed and every server event.
 *
 * @param {SocketListener} listener
 * @returns {Socket}
 */
export function openSocket(listener) {
  // @ts-expect-error No limit (`timeout: false`) is left out of the client's declarations.
  const socket = io({
    path: at('/socket.io/'),
    transports: ['websocket'],
    reconnection: false,
    autoConnect: false,
    forceNew: true,
    timeout: false, // The reconnector limits the whole attempt, handshake included.
  });
  socket.on('connect', () => listener('open', undefined));
  // A refusal by the server leaves the socket inactive; a blocked connection leaves it waiting.
  socket.on('connect_error', (error) =>
    listener('failed', { refused: !socket.active, why: error.message }),
  );
  socket.on('disconnect', (why) => listener('closed', { why }));
  socket.onAny(listener);
  socket.connect();
  return {
    ask: (topics, answered) => socket.emit('subscribe', { topics }, answered),
    close() {
      socket.removeAllListeners();
      socket.offAny();
      socket.disconnect();
    },
  };
}
