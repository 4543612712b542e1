// Panels made of <details> close as menus do: by Escape, and by a click elsewhere.

const OPEN = 'details[data-menu][open]';

export function initMenus(document) {
  document.addEventListener('click', (event) => {
    for (const menu of document.querySelectorAll(OPEN))
      if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    for (const menu of document.querySelectorAll(OPEN)) {
      menu.open = false;
      menu.querySelector('summary').focus();
    }
  });
}
