// A connection that has begun, on sockets that a test opens, fails and closes by hand.

import { createConnection } from '../../static/js/connection/connection.js';
import { fakeClock, fakeSockets, silent } from './fakes.mjs';

export function begin({ supported = true, session = 'live' } = {}) {
  const clock = fakeClock();
  const sockets = fakeSockets(clock);
  const published = [];
  const at = { clock, sockets, published, session, asked: 0 };
  at.connection = createConnection({
    openSocket: sockets.open,
    supported,
    askSession: async () => {
      at.asked += 1;
      return at.session;
    },
    clock,
    random: () => 0.5,
    publish: (name, detail) => published.push({ name, detail }),
    log: silent,
  });
  at.state = () => at.connection.snapshot().state;
  at.connection.start();
  return at;
}
