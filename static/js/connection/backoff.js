// How long to wait before the next attempt: 1, 2, 4, 8, 16, 30, 30 … seconds, for ever.
// Each wait is spread by ±20 %, so that a thousand browsers do not come back in the same instant.

const STEPS = [1, 2, 4, 8, 16, 30];
const SPREAD = 0.2;

/**
 * Seconds to wait before attempt `n` (0 is the first).
 *
 * @param {number} n
 * @param {number} random from 0 to 1.
 */
export function delay(n, random) {
  const step = STEPS[Math.min(n, STEPS.length - 1)];
  return step * (1 - SPREAD + 2 * SPREAD * random);
}
