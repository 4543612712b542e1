// A notification of the browser when a job completes or fails, if the user asked for it in the settings.
// One tab speaks for all; permission is asked for by a click and never unbidden.

const WORTH = { completed: 'completed', failed: 'failed' };

/** The text for a change of status, or null if nobody needs to hear of it: only the end of one's own jobs counts. */
export function notice(event, user) {
  if (!Object.hasOwn(WORTH, event.new_status)) return null;
  if (event.owner_id !== undefined && String(event.owner_id) !== user) return null;
  return `${event.name ?? `Job ${event.job_id}`} ${WORTH[event.new_status]}`;
}

/** `leads()` says whether this tab speaks; `Notification` is the browser's, or undefined. */
export function createNotifier({ document, Notification, leads }) {
  const { user, notifications } = document.body.dataset;

  function told(event) {
    const text = notice(event, user);
    if (!text || notifications !== 'on' || !leads() || Notification?.permission !== 'granted') return;
    const shown = new Notification(text, { body: event.display?.bytes ?? '', tag: `portal-job-${event.job_id}` });
    shown.onclick = () => {
      globalThis.focus();
      globalThis.location.assign(`/jobs/${event.job_id}`);
    };
  }

  async function ask(button) {
    const answer = Notification ? await Notification.requestPermission() : 'missing';
    const words = { granted: 'This browser may notify you.', denied: 'This browser does not allow it.', missing: 'This browser has no notifications.' };
    const place = button.parentElement.querySelector('[data-notify-answer]') ?? button;
    place.textContent = words[answer] ?? 'Not decided.';
  }

  for (const button of document.querySelectorAll('[data-ask-notifications]')) button.hidden = !Notification;
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-ask-notifications]');
    if (button) ask(button);
  });
  return { told };
}
