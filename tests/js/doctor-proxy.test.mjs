import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeProxy } from '../../static/js/connection/doctor-proxy.js';

const here = { protocol: 'https:', host: 'portal.example' };
const seen = {
  scheme: 'https',
  host: 'portal.example',
  remote_addr: '192.0.2.1',
  forwarded: {},
  trusted_proxies: 0,
};

test('what a proxy hides from the server is named with its setting', () => {
  assert.ok(judgeProxy(seen, here).passed);
  assert.match(
    judgeProxy({ ...seen, forwarded: { 'X-Forwarded-For': 'x' } }, here).text,
    /PORTAL_TRUSTED_PROXIES/,
  );
  assert.match(judgeProxy({ ...seen, trusted_proxies: 1 }, here).text, /X-Forwarded-For/);
  assert.match(judgeProxy({ ...seen, host: '127.0.0.1:8000' }, here).text, /X-Forwarded-Host/);
  assert.match(judgeProxy({ ...seen, scheme: 'http' }, here).text, /X-Forwarded-Proto/);
});
