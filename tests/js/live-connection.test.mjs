import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPageEvents } from '../../static/js/connection/live-connection.js';
import { fakeClock } from './fakes.mjs';
import { openWindow } from './page.mjs';

function open() {
  const window = openWindow();
  const { document } = window;
  const clock = fakeClock();
  globalThis.CustomEvent = window.CustomEvent;
  const heard = [];
  const events = createPageEvents({ document, clock });
  for (const name of ['portal:connection', 'portal:progress', 'portal:missed']) {
    document.addEventListener(name, ({ detail }) => heard.push({ name, detail }));
  }
  return { document, clock, events, heard };
}

test('the state of the connection stands at the body, and each event names the one before', () => {
  const { document, events, heard } = open();
  for (const state of ['connecting', 'connected']) events.deliver('portal:connection', { state });
  assert.equal(document.body.dataset.state, 'connected');
  assert.deepEqual(
    heard.map(({ detail }) => [detail.previous, detail.state]),
    [
      [null, 'connecting'],
      ['connecting', 'connected'],
    ],
  );
});

test('data has come with each event of a job, with a connection, and when a request says so', () => {
  const { clock, events } = open();
  const acts = [
    () => events.deliver('portal:progress', { job_id: 1 }),
    () => events.deliver('portal:connection', { state: 'connected' }),
    () => events.gotData(),
  ];
  for (const act of acts) {
    clock.pass(10);
    act();
    assert.equal(events.lastData(), clock.wall());
  }
});

test('what carries no data does not make the shown data newer', () => {
  const { clock, events, heard } = open();
  clock.pass(10);
  events.deliver('portal:connection', { state: 'reconnecting' });
  events.deliver('portal:missed', {});
  assert.equal(events.lastData(), 0);
  assert.deepEqual(
    heard.map(({ name }) => name),
    ['portal:connection', 'portal:missed'],
  );
  assert.equal(heard[0].detail.lastData, 0);
});
