import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initMenus } from '../../static/js/lib/menus.js';
import { openWindow } from './page.mjs';

function page() {
  const window = openWindow(`
    <details data-menu open><summary>Menu</summary><a href="#">Inside</a></details>
    <details open><summary>No menu</summary></details><p>Elsewhere</p>`);
  const { document } = window;
  initMenus(document);
  const [menu, other] = document.querySelectorAll('details');
  return { window, document, menu, other };
}

test('a click elsewhere closes a menu, a click inside does not', () => {
  const { document, menu, other } = page();
  document.querySelector('a').click();
  assert.equal(menu.open, true);
  document.querySelector('p').click();
  assert.equal(menu.open, false);
  assert.equal(other.open, true);
});

test('Escape closes a menu and gives its title the focus', () => {
  const { window, document, menu } = page();
  document.dispatchEvent(new window.KeyboardEvent('keydown', { key: 'Enter' }));
  assert.equal(menu.open, true);
  document.dispatchEvent(new window.KeyboardEvent('keydown', { key: 'Escape' }));
  assert.equal(menu.open, false);
  assert.equal(document.activeElement, menu.querySelector('summary'));
});
