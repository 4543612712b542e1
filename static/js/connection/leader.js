// One socket per browser and user: the tab that holds the lock runs the connection, the others hear of it
// by a channel. Where locks or channels are missing, each tab holds its own.

const SILENCE_SECONDS = 3;

const LONELY_LOCKS = { request: (_name, _options, held) => held() };
const LONELY_CHANNEL = { postMessage() {}, close() {} };

/**
 * `connect(publish)` makes the connection; `deliver(name, detail)` gets what it publishes, in every tab.
 * `locks` and `openChannel(name)` are the browser's, or null.
 */
export function shareConnection({ user, connect, deliver, clock, locks, openChannel }) {
  const room = `portal-socket-${user}`;
  const shared = Boolean(locks && openChannel);
  const connection = connect(publish);
  let channel = null;
  let last = null; // The newest snapshot, from here or from the leader.
  let letGo = null; // Ends our hold of the lock; null in a tab that does not lead.
  let queue = null; // Takes us out of the queue for the lock.
  let silence = null;

  function spread(name, detail) {
    if (name === 'portal:connection') last = detail;
    deliver(name, detail);
    // A tab that knows itself signed out holds no socket and waits for none.
    if (last?.state === 'signed-out') leave();
    else join();
  }

  function publish(name, detail) {
    channel?.postMessage({ name, detail });
    spread(name, detail);
  }

  function received({ data: { name, detail, event, why } }) {
    if (name === 'hello') {
      if (letGo) channel.postMessage({ name: 'portal:connection', detail: connection.snapshot() });
    } else if (name === 'tell') {
      if (letGo) connection.tell(event, why);
    } else if (!letGo) {
      hasSpoken();
      spread(name, detail);
    } else if (detail.state === 'signed-out') {
      connection.tell('session-ended', detail.reason); // It ended just as this tab took over.
    }
  }

  function lead() {
    hasSpoken();
    return new Promise((resolve) => {
      letGo = resolve;
      connection.start(last);
    });
  }

  function ask(options) {
    const mine = queue;
    const held = (shared ? locks : LONELY_LOCKS).request(room, options, lead);
    held.catch((error) => {
      if (error.name !== 'AbortError') throw error;
      if (mine !== queue) return; // We left the queue ourselves.
      leave(); // Another tab took the lock: queue up behind it.
      join();
    });
  }

  /** A leader that does not answer is stuck: take its place. Being asked again gives it no more time. */
  function expectWord() {
    silence ??= clock.after(SILENCE_SECONDS, () => {
      silence = null;
      ask({ steal: true });
    });
  }

  function hasSpoken() {
    silence?.cancel();
    silence = null;
  }

  function join() {
    if (queue) return;
    queue = new AbortController();
    ask({ signal: queue.signal });
    if (letGo) return;
    channel.postMessage({ name: 'hello' });
    expectWord();
  }

  function leave() {
    queue?.abort();
    queue = null;
    hasSpoken();
    letGo?.();
    letGo = null;
    connection.close();
  }

  /** Takes part; again after `suspend`. */
  function start() {
    channel = shared ? openChannel(room) : LONELY_CHANNEL;
    channel.onmessage = received;
    if (last?.state !== 'signed-out') join();
  }

  /** Gives up socket, lock and channel: the page goes to sleep or away. */
  function suspend() {
    leave();
    channel?.close();
    channel = null;
  }

  /** Tells whoever holds the socket; see `tell` in connection.js. */
  function tell(event, why) {
    if (letGo) return connection.tell(event, why);
    if (event === 'signed-in') {
      last = null;
      return join();
    }
    channel?.postMessage({ name: 'tell', event, why });
    if (event === 'retry-now' && queue) expectWord();
  }

  return {
    start,
    suspend,
    tell,
    leads: () => letGo !== null,
    state: () => last?.state ?? 'connecting',
  };
}
