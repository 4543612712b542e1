import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initDoubleClicks } from '../../static/js/forms/double-click.js';
import { openWindow } from './page.mjs';

const ROWS = `
  <form action="/jobs/1/cancel"><button id="cancel">Cancel job</button></form>
  <form action="/jobs/1/pause"><button id="pause"><b>Pause</b></button></form>
  <form action="/jobs/2/cancel"><button id="other">Cancel job</button></form>
  <a id="next" href="?page=2">Next</a><a id="after" href="?page=3">Next</a>
  <input id="text"><label id="label"><input id="box" type="checkbox"> Check</label>`;

function page() {
  const window = openWindow(ROWS);
  const { document } = window;
  const reached = [];
  initDoubleClicks(document);
  document.addEventListener('click', (event) => {
    if (!event.defaultPrevented) reached.push(event.target.closest('[id]').id);
    event.preventDefault();
  });
  const click = (selector, { at = 0, x = 100, y = 50, detail = 1 } = {}) => {
    const event = new window.MouseEvent('click', {
      bubbles: true,
      cancelable: true,
      clientX: x,
      clientY: y,
      detail,
    });
    Object.defineProperty(event, 'timeStamp', { value: 1000 + at });
    document.querySelector(selector).dispatchEvent(event);
  };
  return { click, reached };
}

test('a second click that hits another control does nothing', () => {
  for (const second of ['#pause', '#pause b', '#other', '#next']) {
    const { click, reached } = page();
    click('#cancel');
    click(second, { at: 120, x: 103, detail: 2 });
    click(second, { at: 240, detail: 3 });
    assert.deepEqual(reached, ['cancel'], second);
  }
});

test('a control that came under the pointer where nothing was does nothing at first', () => {
  const { click, reached } = page();
  click('#text');
  click('#cancel', { at: 100 });
  assert.deepEqual(reached, ['text']);
});

test('the same act may be done again at once', () => {
  const { click, reached } = page();
  click('#next');
  click('#after', { at: 150 });
  click('#label', { at: 200 });
  assert.deepEqual(reached, ['next', 'after', 'box', 'label']);
});

test('a click elsewhere, a later one and one by key are of their own', () => {
  const { click, reached } = page();
  click('#cancel');
  click('#pause', { at: 100, x: 180 });
  click('#cancel', { at: 150, y: 80 });
  click('#pause', { at: 700 });
  click('#cancel', { at: 720, detail: 0 });
  assert.deepEqual(reached, ['cancel', 'pause', 'cancel', 'pause', 'cancel']);
});
