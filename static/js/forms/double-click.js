// The second click of a double click belongs to the control that the first one hit. A question
// that closes, or a row that changes between the two, would otherwise put another control under
// the pointer: "Pause" where "Cancel job" was, or the next row's "Retry".

import { closest } from '../lib/dom.js';

const CONTROLS = 'button, a, summary, [role="button"], [role="menuitem"]';
const LONGEST_MS = 500; // The double-click time that common desktops start with, or more.
const FARTHEST_PX = 5;

/** @param {Document} document */
export function initDoubleClicks(document) {
  /** @type {{ act: string, event: MouseEvent } | null} */
  let last = null;

  document.addEventListener(
    'click',
    (event) => {
      if (event.detail === 0) return; // From the keyboard, or from a script.
      const control = closest(event, CONTROLS);
      const act = control ? actOf(control) : '';
      if (control && last && last.act !== act && isSecondClick(last.event, event)) {
        event.preventDefault();
        event.stopImmediatePropagation();
      } else {
        last = { act, event };
      }
    },
    { capture: true },
  );
}

/**
 * The same for two elements that do the same: "Next" of the page that a swap just brought, say.
 *
 * @param {HTMLElement} control
 */
function actOf(control) {
  const label = control.getAttribute('aria-label') ?? control.textContent;
  return `${label?.trim()} ${control.closest('form')?.getAttribute('action') ?? ''}`;
}

/**
 * @param {MouseEvent} first
 * @param {MouseEvent} second
 */
function isSecondClick(first, second) {
  return (
    second.timeStamp - first.timeStamp < LONGEST_MS &&
    Math.abs(second.clientX - first.clientX) <= FARTHEST_PX &&
    Math.abs(second.clientY - first.clientY) <= FARTHEST_PX
  );
}
