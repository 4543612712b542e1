// The one source of time and of timers, in seconds, so that tests can bring their own.
// `scale` (a test setting: <body data-time-scale="0.1">) shortens waits; ages and wall-clock times stay real.

/** @import { Clock, Timer } from './types.js' */

/** @returns {Clock} */
export function createClock(scale = 1) {
  return {
    now: () => performance.now() / 1000,
    wall: () => Date.now(),
    after(seconds, act) {
      const wait = seconds * scale * 1000;
      const id = setTimeout(act, wait);
      return { due: Date.now() + wait, cancel: () => clearTimeout(id) };
    },
  };
}

/**
 * Runs `act` every `seconds` until the returned function is called; never two runs at a time.
 *
 * @param {Clock} clock
 * @param {number} seconds
 * @param {() => void} act
 */
export function repeat(clock, seconds, act) {
  /** @type {Timer} */
  let timer;
  const schedule = () => {
    timer = clock.after(seconds, () => {
      schedule();
      act();
    });
  };
  schedule();
  return () => timer.cancel();
}
