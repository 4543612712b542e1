// Panels made of <details> close as menus do: by Escape, and by a click elsewhere.

import { find } from './dom.js';

/** @param {Document} document */
export function initMenus(document) {
  /** @returns {Iterable<HTMLDetailsElement>} */
  const openMenus = () => document.querySelectorAll('details[data-menu][open]');

  document.addEventListener('click', (event) => {
    for (const menu of openMenus()) {
      if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
    }
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    for (const menu of openMenus()) {
      menu.open = false;
      find(menu, 'summary').focus();
    }
  });
}
