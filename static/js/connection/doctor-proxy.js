// What the doctor says of the proxies on the way: whether the server sees the address that this browser
// asked for, and who asks.

import { passed, toChange } from './doctor-verdicts.js';

/**
 * @typedef {object} Seen What /api/connection answers.
 * @property {string} scheme
 * @property {string} host
 * @property {string} remote_addr
 * @property {Record<string, string>} forwarded
 * @property {number} trusted_proxies
 */

/**
 * @param {Seen | null} seen
 * @param {Pick<Location, 'protocol' | 'host'>} location the address that this browser used.
 */
export function judgeProxy(seen, location) {
  if (!seen) return toChange('the server did not say what it sees.');
  const hops = Object.keys(seen.forwarded).length;
  const scheme = location.protocol.replace(':', '');
  if (hops && !seen.trusted_proxies)
    return toChange(
      'a proxy is in front, but none is trusted: every visitor has its address. Set PORTAL_TRUSTED_PROXIES to the number of proxies.',
    );
  if (!hops && seen.trusted_proxies)
    return toChange(
      'PORTAL_TRUSTED_PROXIES is set, but no proxy says who is asking: make it send X-Forwarded-For, or set 0.',
    );
  if (seen.host !== location.host)
    return toChange(
      `the server sees the host ${seen.host} instead of ${location.host}. Make the proxy pass on Host, or send X-Forwarded-Host.`,
    );
  if (seen.scheme !== scheme)
    return toChange(
      `the server sees ${seen.scheme} instead of ${scheme}. Make the proxy send X-Forwarded-Proto.`,
    );
  return passed(
    `${seen.scheme}://${seen.host}, you are ${seen.remote_addr}, ${hops ? 'through a proxy' : 'directly'}.`,
  );
}
