// Asks the server whether this browser is still signed in: by it "signed out" is told from "blocked".

/** `live`, `ended` or, when no answer came, `unknown`; never throws. */
export async function askSession(fetch = globalThis.fetch) {
  try {
    const answer = await fetch('/api/session', { cache: 'no-store', signal: AbortSignal.timeout(10_000) });
    if (answer.status === 401) return 'ended';
    return answer.ok ? 'live' : 'unknown';
  } catch (error) {
    if (error instanceof TypeError || error.name === 'TimeoutError') return 'unknown';
    throw error;
  }
}
