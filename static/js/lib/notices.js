// Says in words what a click could not do, and reads out what only the eye would see: two live
// regions, made here.

/** @import { Clock, Timer } from './types.js' */

const SHOWN_SECONDS = 8;
const LONGEST = 300; // Characters.

/**
 * @param {Document} document
 * @param {string} role
 * @param {string} className
 */
function region(document, role, className) {
  const element = document.createElement('div');
  element.setAttribute('role', role);
  element.setAttribute('data-keep', '');
  element.className = className;
  document.body.append(element);
  return element;
}

/**
 * The words of an error page or fragment, whatever its markup.
 *
 * @param {string} html
 */
export function wordsOf(html) {
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  const { textContent } = parsed.querySelector('[role="alert"], main') ?? parsed.body;
  return (textContent ?? '').trim().replace(/\s+/g, ' ').slice(0, LONGEST);
}

/** @param {{ document: Document, clock: Clock }} page */
export function createNotices({ document, clock }) {
  const announced = region(document, 'status', 'visually-hidden');
  const seen = region(document, 'alert', 'notice');
  /** @type {Timer | null} */
  let timer = null;

  /** @param {string} text */
  function show(text) {
    seen.textContent = text;
    timer?.cancel();
    timer = clock.after(SHOWN_SECONDS, () => {
      seen.textContent = '';
    });
  }

  /** @param {string} text */
  function say(text) {
    announced.textContent = text;
  }

  return { show, say };
}
