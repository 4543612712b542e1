// Runs before any script of a page: notes what happens to its connection, by the browser's own clock.
(() => {
  const at = () => performance.now() / 1000;
  const log = {
    attempts: [],
    states: [],
    words: [],
    strips: [],
    frames: [],
    events: [],
    violations: [],
  };
  window.portalLog = log;

  const Real = window.WebSocket;
  if (Real) {
    window.WebSocket = class extends Real {
      constructor(...args) {
        log.attempts.push(at());
        super(...args);
        this.addEventListener('message', ({ data }) =>
          log.frames.push({ at: at(), data: String(data).slice(0, 200) }),
        );
      }
    };
  }
  document.addEventListener('portal:connection', ({ detail }) => {
    if (log.states.at(-1)?.state !== detail.state)
      log.states.push({ at: at(), state: detail.state });
  });
  for (const name of ['portal:progress', 'portal:status', 'portal:created']) {
    document.addEventListener(name, ({ detail }) =>
      log.events.push({
        at: at(),
        name,
        job: detail.job_id,
        seq: detail.seq,
        status: detail.new_status,
      }),
    );
  }
  document.addEventListener('securitypolicyviolation', (event) =>
    log.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
  );

  const note = (list, text) => text && list.at(-1)?.text !== text && list.push({ at: at(), text });
  function look() {
    const part = (name) => document.querySelector(`[data-connection="${name}"]`);
    if (!part('word')) return;
    note(log.words, part('word').textContent);
    note(log.strips, part('strip').hidden ? '' : part('text').textContent);
  }
  document.addEventListener('DOMContentLoaded', () => {
    const root = document.getElementById('connection');
    if (root)
      new MutationObserver(look).observe(root, {
        subtree: true,
        childList: true,
        characterData: true,
        attributes: true,
      });
  });
})();
