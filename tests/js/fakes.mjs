// A clock that moves when told, and sockets, locks and channels that do what a test says.

export function fakeClock() {
  let time = 0;
  let timers = [];
  return {
    now: () => time,
    wall: () => time * 1000,
    after(seconds, act) {
      const timer = { at: time + seconds, act };
      timers.push(timer);
      return {
        due: timer.at * 1000,
        cancel: () => {
          timers = timers.filter((other) => other !== timer);
        },
      };
    },
    pass(seconds) {
      const end = time + seconds;
      for (;;) {
        const [first] = timers
          .filter((timer) => timer.at <= end + 1e-9)
          .sort((a, b) => a.at - b.at);
        if (!first) break;
        timers = timers.filter((other) => other !== first);
        time = first.at;
        first.act();
      }
      time = end;
    },
    waiting: () => timers.length,
  };
}

/** Sockets that a test opens, fails and closes by hand; `sockets.attempts` lists when each began. */
export function fakeSockets(clock) {
  const sockets = { attempts: [], live: [], asked: 0, answers: true };
  sockets.open = (listener) => {
    const socket = {
      open: false,
      hear: listener,
      ask(topics, answered) {
        sockets.asked += 1;
        if (sockets.answers) answered({ topics, role: 'operator' });
      },
      close() {
        sockets.live = sockets.live.filter((other) => other !== socket);
      },
    };
    sockets.attempts.push(clock.now());
    sockets.live.push(socket);
    sockets.last = socket;
    return socket;
  };
  const once = (opened, event, payload) => {
    const socket = sockets.last;
    if (!sockets.live.includes(socket) || socket.open !== opened) return;
    socket.open = true;
    socket.hear(event, payload);
  };
  sockets.succeed = () => once(false, 'open');
  sockets.fail = (why = 'websocket error', refused = false) =>
    once(false, 'failed', { refused, why });
  sockets.drop = (why = 'transport close') => once(true, 'closed', { why });
  return sockets;
}

/** Web Locks as browsers grant them: one holder, the others queue; a thief makes the holder's request fail. */
export function fakeLocks() {
  const abort = () => Object.assign(new Error('aborted'), { name: 'AbortError' });
  const locks = { holder: null, queue: [] };
  const grant = () => {
    if (locks.holder || !locks.queue.length) return;
    const entry = locks.queue.shift();
    locks.holder = entry;
    entry.held().then(() => {
      if (locks.holder === entry) locks.holder = null;
      entry.resolve();
      grant();
    });
  };
  locks.request = (_name, { signal, steal }, held) =>
    new Promise((resolve, reject) => {
      const entry = { held, resolve, reject };
      signal?.addEventListener('abort', () => {
        if (!locks.queue.includes(entry)) return;
        locks.queue = locks.queue.filter((other) => other !== entry);
        reject(abort());
      });
      if (steal) {
        locks.holder?.reject(abort());
        locks.holder = null;
        locks.queue.unshift(entry);
      } else {
        locks.queue.push(entry);
      }
      queueMicrotask(grant);
    });
  return locks;
}

/** BroadcastChannel without delay to speak of: everyone but the sender hears it. */
export function fakeAir() {
  const channels = new Set();
  let muted = false;
  function openChannel() {
    const channel = {
      onmessage: null,
      postMessage(data) {
        if (muted) return;
        const copy = structuredClone(data);
        for (const other of channels)
          if (other !== channel) queueMicrotask(() => other.onmessage?.({ data: copy }));
      },
      close() {
        channels.delete(channel);
        channel.onmessage = null;
      },
    };
    channels.add(channel);
    return channel;
  }
  openChannel.mute = (on) => {
    muted = on;
  };
  return openChannel;
}

export const settle = async () => {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
};
export const silent = { info() {} };
