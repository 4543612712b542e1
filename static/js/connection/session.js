// Asks the server about this browser's session: its answer tells "signed out" from "blocked", and
// whether something happened while the page loaded.

import { at } from '../lib/base.js';

/** @import { SessionState } from '../lib/types.js' */

/**
 * The answer of `/api/session`, or null when none came; throws only what is a fault of ours.
 *
 * @param {typeof globalThis.fetch} fetch
 */
async function ask(fetch) {
  try {
    return await fetch(at('/api/session'), {
      cache: 'no-store',
      signal: AbortSignal.timeout(10_000),
    });
  } catch (error) {
    if (isNoAnswer(error)) return null;
    throw error;
  }
}

/**
 * Whether a fetch failed because nobody answered, or not in time.
 *
 * @param {unknown} error
 */
export const isNoAnswer = (error) =>
  error instanceof TypeError || (error instanceof Error && error.name === 'TimeoutError');

/** @returns {Promise<SessionState>} */
export async function askSession(fetch = globalThis.fetch) {
  const answer = await ask(fetch);
  if (answer?.status === 401) return 'ended';
  return answer?.ok ? 'live' : 'unknown';
}

/**
 * Whether the server still has `stateVersion` of the jobs; without an answer, it may not.
 *
 * @param {string | undefined} stateVersion
 * @returns {Promise<boolean>}
 */
export async function isStill(stateVersion, fetch = globalThis.fetch) {
  const answer = await ask(fetch);
  return answer?.ok === true && (await answer.json()).state_version === stateVersion;
}
