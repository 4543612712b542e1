import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConnection } from '../../static/js/connection/connection.js';
import { shareConnection } from '../../static/js/connection/shared-connection.js';
import { fakeAir, fakeClock, fakeLocks, fakeSockets, settle, silent } from './fakes.mjs';

function browser({ shared = true } = {}) {
  const clock = fakeClock();
  const sockets = fakeSockets(clock);
  const locks = shared ? fakeLocks() : null;
  const openChannel = shared ? fakeAir() : null;
  const at = { clock, sockets, session: 'live', tabs: [], mute: openChannel?.mute };
  at.openTab = async () => {
    const heard = [];
    const tab = shareConnection({
      user: '7',
      clock,
      locks,
      openChannel,
      deliver: (name, detail) => heard.push({ name, detail }),
      connect: (publish) =>
        createConnection({
          openSocket: sockets.open,
          supported: true,
          askSession: async () => at.session,
          clock,
          random: () => 0.5,
          publish,
          log: silent,
        }),
    });
    tab.heard = heard;
    tab.states = () =>
      heard.filter(({ name }) => name === 'portal:connection').map(({ detail }) => detail.state);
    tab.state = () => tab.states().at(-1);
    tab.count = (name) => heard.filter((entry) => entry.name === name).length;
    at.tabs.push(tab);
    tab.start();
    await settle();
    return tab;
  };
  return at;
}

async function tenTabs() {
  const at = browser();
  await at.openTab();
  at.sockets.succeed();
  for (let i = 1; i < 10; i += 1) await at.openTab();
  return at;
}

test('ten tabs share one socket, and all are connected', async () => {
  const { tabs, sockets } = await tenTabs();
  assert.equal(sockets.attempts.length, 1);
  assert.equal(tabs.filter((tab) => tab.leads()).length, 1);
  assert.deepEqual(
    tabs.map((tab) => tab.state()),
    Array(10).fill('connected'),
  );
});

test('an event reaches every tab exactly once', async () => {
  const { tabs, sockets } = await tenTabs();
  sockets.last.hear('job_progress', { job_id: 1, seq: 2 });
  await settle();
  assert.deepEqual(
    tabs.map((tab) => tab.count('portal:progress')),
    Array(10).fill(1),
  );
});

test('when the leader goes, another connects at once and every tab enters connected anew', async () => {
  const { clock, tabs, sockets } = await tenTabs();
  tabs[0].suspend();
  await settle();
  assert.equal(sockets.attempts.length, 2);
  assert.equal(sockets.attempts[1], clock.now());
  sockets.succeed();
  await settle();
  assert.equal(tabs.filter((tab) => tab.leads()).length, 1);
  assert.equal(sockets.live.length, 1);
  for (const tab of tabs.slice(1))
    assert.deepEqual(
      tab
        .states()
        .filter((s, i, all) => s !== all[i - 1])
        .slice(-2),
      ['reconnecting', 'connected'],
    );
});

test('a tab that wakes up again is told the state', async () => {
  const { tabs, sockets } = await tenTabs();
  tabs[0].suspend();
  await settle();
  sockets.succeed();
  tabs[0].start();
  await settle();
  assert.equal(tabs[0].state(), 'connected');
  assert.equal(sockets.live.length, 1);
});

test('"Try now" in any tab reaches the one that leads', async () => {
  const { clock, tabs, sockets } = await tenTabs();
  sockets.drop();
  sockets.live = [];
  await settle();
  tabs[5].tell('retry-now');
  await settle();
  assert.equal(sockets.attempts.length, 2);
  assert.equal(sockets.attempts[1], clock.now());
});

test('the end of the session reaches every tab, and none holds or seeks a socket', async () => {
  const at = await tenTabs();
  at.tabs[3].tell('session-ended', 'expired');
  await settle();
  assert.deepEqual(
    at.tabs.map((tab) => tab.state()),
    Array(10).fill('signed-out'),
  );
  assert.equal(at.sockets.live.length, 0);
  assert.ok(at.tabs.every((tab) => !tab.leads()));
  at.clock.pass(3600);
  await settle();
  assert.equal(at.sockets.attempts.length, 1);
});

test('after signing in in a new tab, all the others return with it', async () => {
  const at = await tenTabs();
  at.sockets.last.hear('session_ended', { reason: 'logout' });
  await settle();
  const fresh = await at.openTab();
  at.sockets.succeed();
  await settle();
  assert.ok(fresh.leads());
  assert.deepEqual(
    at.tabs.map((tab) => tab.state()),
    Array(11).fill('connected'),
  );
  assert.equal(at.sockets.live.length, 1);
});

test('a signed-out tab that learns of a new session connects by itself', async () => {
  const at = browser();
  const tab = await at.openTab();
  at.sockets.succeed();
  at.sockets.last.hear('session_ended', { reason: 'logout' });
  await settle();
  tab.tell('signed-in');
  await settle();
  at.sockets.succeed();
  assert.equal(tab.state(), 'connected');
});

test('a changed role redraws every tab', async () => {
  const { tabs, sockets } = await tenTabs();
  sockets.last.hear('session_ended', { reason: 'role_changed' });
  await settle();
  assert.deepEqual(
    tabs.map((tab) => tab.count('portal:role-changed')),
    Array(10).fill(1),
  );
});

test('a leader that answers nobody loses its place, and queues up behind the thief', async () => {
  const at = browser();
  const stuck = await at.openTab();
  at.sockets.succeed();
  at.mute(true);
  const second = await at.openTab();
  assert.ok(stuck.leads() && !second.leads());
  at.clock.pass(3);
  await settle();
  at.mute(false);
  at.sockets.succeed();
  await settle();
  assert.ok(second.leads() && !stuck.leads());
  assert.equal(at.sockets.live.length, 1);
  second.suspend();
  await settle();
  assert.ok(stuck.leads());
});

test('a leader that is stuck is replaced in 3 s, however often it is asked meanwhile', async () => {
  const at = browser();
  const stuck = await at.openTab();
  at.sockets.succeed();
  const second = await at.openTab();
  at.mute(true);
  for (let i = 0; i < 3; i += 1) {
    assert.ok(!second.leads());
    second.tell('retry-now');
    at.clock.pass(1);
    await settle();
  }
  at.mute(false);
  assert.ok(second.leads() && !stuck.leads());
});

test('without locks or channels each tab holds its own socket', async () => {
  const { openTab, sockets } = browser({ shared: false });
  const one = await openTab();
  sockets.succeed();
  const two = await openTab();
  sockets.succeed();
  assert.equal(sockets.live.length, 2);
  assert.deepEqual([one.state(), two.state()], ['connected', 'connected']);
  one.suspend();
  assert.equal(sockets.live.length, 1);
});
