// Every live figure says how old it is once that is over 5 s, and greys at 15 s: numbers never look fresher than they are.
// A row's age counts from what the server said at render, or from the last push, on a clock that nobody can set.

import { findAll, setText } from '../lib/dom.js';

/** @import { Clock } from '../lib/types.js' */

const SHOW_AFTER = 5;
const STALE_AT = 15;

/**
 * @param {object} page
 * @param {Clock} page.clock
 * @param {() => HTMLElement[]} page.activeRows lists running rows.
 * @param {() => void} page.silent is called when one of them has had no news for too long.
 */
export function createAges({ clock, activeRows, silent }) {
  /** @type {WeakMap<HTMLElement, { stamp: string, born: number, asked: number }>} */
  const bases = new WeakMap();

  /** @param {HTMLElement} row */
  function ageOf(row) {
    const stamp = `${row.dataset.seq}:${row.dataset.age}`;
    let base = bases.get(row);
    if (!base || base.stamp !== stamp) {
      base = { stamp, born: clock.now() - (Number(row.dataset.age) || 0), asked: 0 };
      bases.set(row, base);
    }
    return { base, age: clock.now() - base.born };
  }

  /** @param {HTMLElement} row */
  function show(row) {
    const { base, age } = ageOf(row);
    const text = age > SHOW_AFTER ? `${Math.floor(age)} s ago` : '';
    for (const slot of findAll(row, '[data-field="age"]')) setText(slot, text);
    row.classList.toggle('stale', age >= STALE_AT);
    // Once when it begins to be old, then every 15 s: an event may have been missed.
    const due = age > SHOW_AFTER ? 1 + Math.floor(age / STALE_AT) : 0;
    if (due > base.asked) silent();
    base.asked = due;
  }

  return { tick: () => activeRows().forEach(show) };
}
