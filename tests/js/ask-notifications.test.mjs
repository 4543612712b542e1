import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initAskNotifications } from '../../static/js/jobs/ask-notifications.js';
import { settle } from './fakes.mjs';
import { openWindow } from './page.mjs';

function button(Notification) {
  const { document } = openWindow(
    '<p><button data-ask-notifications hidden>Allow notifications</button></p>',
  );
  initAskNotifications({ document, Notification });
  return document.querySelector('button');
}

test('a click asks for the permission and shows the answer; nothing is asked before', async () => {
  let asked = 0;
  const shown = button({
    requestPermission: async () => {
      asked += 1;
      return 'denied';
    },
  });
  assert.equal(shown.hidden, false);
  assert.equal(asked, 0);
  shown.click();
  await settle();
  assert.equal(asked, 1);
  assert.equal(shown.textContent, 'Notifications are blocked in this browser.');
});

test('a browser without notifications is not offered any', () => {
  assert.equal(button(undefined).hidden, true);
});
