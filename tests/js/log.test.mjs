import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mayAsk } from '../../static/js/jobs/log.js';

const LOOKING = { paused: false, hidden: false, folded: false, connection: 'connected' };

test('a log that is looked at asks for more, live or polling', () => {
  assert.equal(mayAsk(LOOKING), true);
  for (const connection of ['connecting', 'reconnecting', 'polling'])
    assert.equal(mayAsk({ ...LOOKING, connection }), true);
});

test('a log that nobody looks at asks for nothing', () => {
  for (const name of ['paused', 'hidden', 'folded'])
    assert.equal(mayAsk({ ...LOOKING, [name]: true }), false);
});

test('without an answer to be had it asks for nothing', () => {
  for (const connection of ['offline', 'signed-out'])
    assert.equal(mayAsk({ ...LOOKING, connection }), false);
});
