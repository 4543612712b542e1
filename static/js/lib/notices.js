// Says in words what a click could not do, and reads out what only the eye would see: two live regions, made here.

const SHOWN_SECONDS = 8;

function region(document, role, className) {
  const element = document.createElement('div');
  element.setAttribute('role', role);
  element.setAttribute('data-keep', '');
  element.className = className;
  document.body.append(element);
  return element;
}

/** The words of an error page or fragment, whatever its markup. */
export function wordsOf(html) {
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  return (parsed.querySelector('[role="alert"], main') ?? parsed.body).textContent
    .trim()
    .replace(/\s+/g, ' ')
    .slice(0, 300);
}

export function createNotices({ document, clock }) {
  const heard = region(document, 'status', 'visually-hidden');
  const seen = region(document, 'alert', 'notice');
  let timer = null;

  function show(text) {
    seen.textContent = text;
    timer?.cancel();
    timer = clock.after(SHOWN_SECONDS, () => {
      seen.textContent = '';
    });
  }

  return {
    show,
    say: (text) => {
      heard.textContent = text;
    },
  };
}
