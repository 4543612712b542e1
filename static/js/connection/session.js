// Asks the server about this browser's session: by it "signed out" is told from "blocked", and a page that was
// changed behind its back while it loaded from one that is as it was made.

import { at } from '../lib/base.js';

/** The answer of `/api/session`, or null when none came; throws only what is a fault of ours. */
async function ask(fetch) {
  try {
    return await fetch(at('/api/session'), {
      cache: 'no-store',
      signal: AbortSignal.timeout(10_000),
    });
  } catch (error) {
    if (error instanceof TypeError || error.name === 'TimeoutError') return null;
    throw error;
  }
}

/** `live`, `ended` or, when no answer came, `unknown`. */
export async function askSession(fetch = globalThis.fetch) {
  const answer = await ask(fetch);
  if (answer?.status === 401) return 'ended';
  return answer?.ok ? 'live' : 'unknown';
}

/** Whether the jobs are still in the state that `mark` names; where no answer came, they may not be. */
export async function isStill(mark, fetch = globalThis.fetch) {
  const answer = await ask(fetch);
  return Boolean(answer?.ok) && (await answer.json()).mark === mark;
}
