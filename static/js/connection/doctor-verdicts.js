// What the doctor's measurements mean, in words: passed, or what to change. Pure, so that every
// verdict is tested.

const SLOW_MILLISECONDS = 1000;
const SKEW_SECONDS = 5;

/** @typedef {{ passed: boolean, text: string }} Verdict */

/**
 * @param {string} text
 * @returns {Verdict}
 */
export const passed = (text) => ({ passed: true, text });
/**
 * @param {string} text
 * @returns {Verdict}
 */
export const toChange = (text) => ({ passed: false, text });
/** @param {number} milliseconds */
const ms = (milliseconds) => `${Math.round(milliseconds)} ms`;

/** @param {number[]} numbers */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {{ milliseconds?: number, missing?: boolean, silent?: boolean }} handshake */
export function judgeWebSocket({ milliseconds, missing, silent }) {
  if (missing)
    return toChange(
      'this browser has no WebSocket. The page polls instead; another browser would be live.',
    );
  if (silent)
    return toChange(
      'the upgrade got no answer in 5 s. Something in between blocks it: make the proxy forward Upgrade and Connection.',
    );
  if (milliseconds === undefined)
    return toChange(
      'the upgrade was refused. Make the proxy forward /socket.io/ with HTTP/1.1, Upgrade, Connection and the Host it was asked for.',
    );
  return passed(`open after ${ms(milliseconds)}.`);
}

/** @param {number | null} milliseconds */
export function judgeEcho(milliseconds) {
  if (milliseconds === null)
    return toChange('no answer over a WebSocket; fix the line above first.');
  if (milliseconds > SLOW_MILLISECONDS)
    return toChange(
      `${ms(milliseconds)}, median of ten: a slow network, or a proxy that buffers. Turn off buffering for /socket.io/.`,
    );
  return passed(`${ms(milliseconds)}, median of ten.`);
}

/** @param {{ status: number, milliseconds?: number }} answer */
export function judgePolling({ status, milliseconds = 0 }) {
  if (status === 0)
    return toChange('no answer in 5 s: the server, or the network on the way to it, is down.');
  if (status !== 200)
    return toChange(`the server or the proxy answers ${status}; it should be 200.`);
  if (milliseconds > SLOW_MILLISECONDS)
    return toChange(`an answer after ${ms(milliseconds)}; under a second is usual.`);
  return passed(`an answer after ${ms(milliseconds)}.`);
}

/**
 * @param {{ time?: string, milliseconds: number } | null} seen what /api/session answered.
 * @param {number} arrived when, by this device's clock, in milliseconds.
 */
export function judgeClock(seen, arrived) {
  if (!seen?.time) return toChange('the server did not say what time it has.');
  const skew = (arrived - seen.milliseconds / 2 - Date.parse(seen.time)) / 1000;
  const size = `${Math.abs(skew).toFixed(1)} s`;
  if (Math.abs(skew) <= SKEW_SECONDS)
    return passed(`this device and the server differ by ${size}.`);
  return toChange(
    `this device is ${size} ${skew > 0 ? 'ahead of' : 'behind'} the server. Set its clock, or the server's, from the network.`,
  );
}
