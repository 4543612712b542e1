// Fetches the page's data anew without a reload: every region listens to `portal:refresh`.
// Many causes within a moment make one refetch, and no page refetches more than once a second.

/** @import { Clock, ConnectionDetail, Timer } from '../lib/types.js' */

const GATHER_SECONDS = 0.3;
const JITTER_SECONDS = 0.2;
const APART_SECONDS = 1;
const EVERYBODY_SECONDS = 2;

/**
 * @param {object} page
 * @param {Clock} page.clock
 * @param {() => number} page.random
 * @param {(name: 'portal:refresh') => void} page.dispatch
 * @param {() => Promise<boolean>} page.isCurrent resolves to whether the page still shows the state in
 *   which it was rendered.
 */
export function createRefresh({ clock, random, dispatch, isCurrent }) {
  /** @type {Timer | null} */
  let timer = null;
  let last = -Infinity;
  let fresh = true;

  function now() {
    timer?.cancel();
    timer = null;
    last = clock.now();
    dispatch('portal:refresh');
  }

  function soon(spread = JITTER_SECONDS) {
    if (timer) return;
    const gather = GATHER_SECONDS + spread * random();
    timer = clock.after(Math.max(gather, last + APART_SECONDS - clock.now()), now);
  }

  /** For what every page learns at the same moment: each waits for another time. */
  const everybody = () => soon(EVERYBODY_SECONDS);

  /**
   * Each entry into `connected` refetches. The very first of a page that has only just been rendered
   * does so only if something happened between its rendering and this moment: no event tells of that.
   *
   * @param {Pick<ConnectionDetail, 'state' | 'previous'>} detail
   */
  async function follow({ state, previous }) {
    if (state === previous) return;
    const first = fresh;
    if (state !== 'connecting') fresh = false;
    if (state !== 'connected') return;
    if (!first) now();
    else if (!(await isCurrent())) soon();
  }

  return { now, soon, everybody, follow };
}
