// Every live figure says how old it is once that is over 5 s, and greys at 15 s: numbers never look fresher than they are.
// A row's age counts from what the server said at render, or from the last push, on a clock that nobody can set.

const TELL_AT = 5;
const STALE_AT = 15;

/** `activeRows()` lists running rows; `silent()` is called when one of them has had no news for too long. */
export function createAges({ clock, activeRows, silent }) {
  const bases = new WeakMap();

  function ageOf(row) {
    const said = `${row.dataset.seq}:${row.dataset.age}`;
    let base = bases.get(row);
    if (base?.said !== said) {
      base = { said, born: clock.now() - (Number(row.dataset.age) || 0), asked: 0 };
      bases.set(row, base);
    }
    return { base, age: clock.now() - base.born };
  }

  function show(row) {
    const { base, age } = ageOf(row);
    const text = age > TELL_AT ? `${Math.floor(age)} s ago` : '';
    for (const slot of row.querySelectorAll('[data-field="age"]')) {
      if (slot.textContent !== text) slot.textContent = text;
    }
    row.classList.toggle('stale', age >= STALE_AT);
    // Once when it begins to be old, then every 15 s: an event may have been missed.
    const due = age > TELL_AT ? 1 + Math.floor(age / STALE_AT) : 0;
    if (due > base.asked) silent(row);
    base.asked = due;
  }

  return { tick: () => activeRows().forEach(show) };
}
