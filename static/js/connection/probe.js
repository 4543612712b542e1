// Asks the server for an answer over the socket: by it the page subscribes, learns the round trip,
// and finds out that a line which looks open is dead.

export const TOPICS = ['progress', 'status_change'];
const ANSWER_SECONDS = 5;

export function createProbe({ reconnector, clock, answered, silent }) {
  let limit = null;

  function cancel() {
    limit?.cancel();
    limit = null;
  }

  /** A question that waits for its answer stands: one that came after it and began the wait anew would put off the end. */
  function ask() {
    if (limit) return;
    const asked = clock.now();
    limit = clock.after(ANSWER_SECONDS, silent);
    reconnector.ask(TOPICS, (answer) => {
      cancel();
      answered(answer, Math.round((clock.now() - asked) * 1000));
    });
  }

  return { ask, cancel };
}
