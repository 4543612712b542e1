import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initNotifications } from '../../static/js/jobs/notify.js';
import { openWindow } from './page.mjs';

function open({ permission = 'granted', leads = true } = {}) {
  const window = openWindow();
  const { document } = window;
  Object.assign(document.body.dataset, { user: '7', role: 'operator' });
  const shown = [];
  class Notification {
    static permission = permission;

    constructor(text, { body }) {
      shown.push([text, body]);
    }
  }
  initNotifications({ document, Notification, leads: () => leads });
  const finish = (more = {}) => {
    const detail = {
      job_id: 3,
      name: 'Photos',
      owner_id: 7,
      new_status: 'completed',
      display: { result: '12 files' },
      ...more,
    };
    document.dispatchEvent(new window.CustomEvent('portal:status', { detail }));
  };
  return { shown, finish };
}

test('the end of a job is notified to its owner with the result, and nothing else is', () => {
  const { shown, finish } = open();
  finish();
  finish({ owner_id: 8 });
  finish({ new_status: 'running' });
  assert.deepEqual(shown, [['Photos completed', '12 files']]);
});

test('only the tab that leads notifies, and only with permission', () => {
  for (const given of [{ leads: false }, { permission: 'denied' }, { permission: 'default' }]) {
    const { shown, finish } = open(given);
    finish();
    assert.deepEqual(shown, []);
  }
});
