import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  judgeClock,
  judgeEcho,
  judgePolling,
  judgeWebSocket,
  median,
} from '../../static/js/connection/doctor-verdicts.js';

test('the median of an even and of an odd number of times', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test('each way of failing is told apart', () => {
  assert.match(judgeWebSocket({ missing: true }).text, /no WebSocket/);
  assert.match(judgeWebSocket({ silent: true }).text, /blocks it/);
  assert.match(judgeWebSocket({ refused: true }).text, /refused/);
  assert.ok(judgeWebSocket({ milliseconds: 20 }).passed);
  assert.ok(!judgeEcho(null).passed && !judgeEcho(1500).passed && judgeEcho(20).passed);
  assert.ok(
    !judgePolling({ status: 0 }).passed &&
      !judgePolling({ status: 403, milliseconds: 5 }).passed &&
      judgePolling({ status: 200, milliseconds: 5 }).passed,
  );
});

test('a clock is judged from the middle of the request, and both ways', () => {
  const at = Date.parse('2026-01-05T12:00:00Z');
  assert.ok(judgeClock({ time: '2026-01-05T12:00:00Z', milliseconds: 100 }, at + 50).passed);
  assert.match(
    judgeClock({ time: '2026-01-05T12:00:00Z', milliseconds: 0 }, at + 60_000).text,
    /60\.0 s ahead/,
  );
  assert.match(
    judgeClock({ time: '2026-01-05T12:00:00Z', milliseconds: 0 }, at - 60_000).text,
    /60\.0 s behind/,
  );
  assert.ok(!judgeClock(null, at).passed);
});
