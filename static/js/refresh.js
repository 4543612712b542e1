// Fetches the page's data anew without a reload: every region listens to `portal:refresh`.
// Many causes within a moment make one refetch, and no page refetches more than once a second.

const GATHER_SECONDS = 0.3;
const JITTER_SECONDS = 0.2;
const APART_SECONDS = 1;

export function createRefresh({ clock, random, dispatch }) {
  let timer = null;
  let last = -Infinity;
  let fresh = true;

  function now() {
    timer?.cancel();
    timer = null;
    last = clock.now();
    dispatch('portal:refresh', {});
  }

  function soon() {
    if (timer) return;
    const gather = GATHER_SECONDS + JITTER_SECONDS * random();
    timer = clock.after(Math.max(gather, last + APART_SECONDS - clock.now()), now);
  }

  /** Each entry into `connected` refetches, save the very first of a page that has only just been rendered. */
  function follow({ state, previous }) {
    if (state === previous) return;
    if (state === 'connected' && !fresh) now();
    if (state !== 'connecting') fresh = false;
  }

  return { now, soon, follow };
}
