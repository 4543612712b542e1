// Pages for the tests: a document of happy-dom, and in it the markup that the modules look for.

import { readFileSync } from 'node:fs';
import { Window } from 'happy-dom';

const CONNECTION = new URL('../../templates/_connection.html', import.meta.url);

/** A window whose body holds `html`. */
export function openWindow(html = '') {
  const window = new Window({ url: 'http://portal.test/jobs?status=running' });
  window.document.body.innerHTML = html;
  return window;
}

/** The badge, panel and strip of the connection, from the very template that the server renders. */
export function connectionMarkup() {
  return readFileSync(CONNECTION, 'utf8')
    .replace(/\{#.*?#\}/gs, '')
    .replace(/\{\{.*?\}\}/gs, '#');
}

const FIELDS = ['status', 'phase', 'percent', 'bytes', 'speed', 'eta', 'files', 'age'];

/** A job's row with the slots of templates/jobs/_row.html; `shown`, `bar` and `icon` lead to them. */
export function jobRow({ job = 17, seq = 1, status = 'running', age = '0', percent = '10' } = {}) {
  const { document } = openWindow(`
    <li data-job="${job}" data-seq="${seq}" data-status="${status}" data-age="${age}">
      <svg><use data-field-icon href="/static/v1/icons.svg#running"></use></svg>
      <progress data-field-bar max="100" ${percent === null ? '' : `value="${percent}"`}></progress>
      ${FIELDS.map((name) => `<span data-field="${name}"></span>`).join('')}
    </li>`);
  const row = document.querySelector('li');
  const slots = FIELDS.map((name) => [name, row.querySelector(`[data-field="${name}"]`)]);
  return Object.assign(row, {
    shown: Object.fromEntries(slots),
    bar: row.querySelector('progress'),
    icon: row.querySelector('use'),
  });
}

/** The texts that are written into `element` from now on, in order: a screen reader may read each. */
export function writesTo(element) {
  const texts = [];
  const { get, set } = textContentOf(element);
  Object.defineProperty(element, 'textContent', {
    get,
    set(text) {
      texts.push(text);
      set.call(element, text);
    },
  });
  return texts;
}

function textContentOf(element) {
  let prototype = Object.getPrototypeOf(element);
  while (!Object.hasOwn(prototype, 'textContent')) prototype = Object.getPrototypeOf(prototype);
  return Object.getOwnPropertyDescriptor(prototype, 'textContent');
}

export function progress(seq, more = {}) {
  const display = {
    percent: `${seq} %`,
    bytes: `${seq} MiB`,
    valuetext: `${seq} %, ${seq} MiB`,
  };
  return { job_id: 17, seq, percent: seq, display, ...more };
}

export function change(seq, status, more = {}) {
  const display = { status: status.toUpperCase(), icon: status, tone: 'green', percent: '100 %' };
  return { job_id: 17, seq, new_status: status, percent: 100, display, ...more };
}
