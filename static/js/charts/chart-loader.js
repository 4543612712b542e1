// Finds the charts of a page, also those that a reply has put there. What draws them is fetched where
// one is to be drawn: at once, or where a chart rests (data-rests) when a pointer or the focus comes
// to it. Until then the chart that the server has drawn stands.

import { find, findAll } from '../lib/dom.js';

/** @import { ProgressEvent } from '../lib/types.js' */
/** @typedef {ReturnType<typeof import('./live-chart.js').createChart>} Chart */
/** @typedef {(figure: HTMLElement) => Chart} CreateChart */

/** @type {Promise<CreateChart | null> | null} */
let loading = null;

/** @param {string} text */
function isLanguage(text) {
  try {
    return Intl.getCanonicalLocales(text).length === 1;
  } catch {
    return false;
  }
}

/**
 * Resolves to whether the script or the style of `element` could be fetched.
 *
 * @param {Document} document
 * @param {HTMLElement} element
 */
function fetched(document, element) {
  return new Promise((done) => {
    element.addEventListener('load', () => done(true));
    element.addEventListener('error', () => done(false));
    document.head.append(element);
  });
}

/**
 * Resolves to what makes a chart of a figure. Where it could not be fetched, resolves to null: the
 * chart that the server has drawn stays until the next try.
 *
 * @param {Window} window
 * @param {DOMStringMap} figure names the library and its style.
 * @returns {Promise<CreateChart | null>}
 */
async function fetchAll(window, { library = '', style = '' }) {
  const { document, navigator } = window;
  // uPlot asks for the browser's language as it begins, and dies of one that is none: where the
  // machine has no locale, Chromium says "en-US@posix".
  const stands = !isLanguage(navigator.language);
  if (stands) Object.defineProperty(navigator, 'language', { value: 'en', configurable: true });
  const parts = [
    Object.assign(document.createElement('script'), { src: library }),
    Object.assign(document.createElement('link'), { rel: 'stylesheet', href: style }),
  ];
  const [module] = await Promise.all([
    import('./live-chart.js').catch(() => null),
    ...parts.map((part) => fetched(document, part)),
  ]);
  if (stands) Reflect.deleteProperty(navigator, 'language');
  const { uPlot } = window;
  if (module && uPlot) return (figure) => module.createChart(window, uPlot, figure);
  loading = null;
  return null;
}

/**
 * Draws the chart of `figure` only once somebody turns to it.
 *
 * @param {HTMLElement} figure
 * @param {(figure: HTMLElement) => void} draw
 */
function drawWhenTouched(figure, draw) {
  const canvas = find(figure, '.chart-canvas');
  if ('waits' in canvas.dataset) return;
  canvas.dataset.waits = '';
  canvas.tabIndex = 0;
  for (const name of ['role', 'aria-label', 'aria-describedby']) {
    canvas.setAttribute(name, canvas.nextElementSibling?.getAttribute(name) ?? '');
  }
  for (const name of ['pointerenter', 'focus']) {
    canvas.addEventListener(name, () => draw(figure), { once: true });
  }
}

/** @param {{ window: Window }} page */
export function initCharts({ window }) {
  /** @type {Chart[]} */
  let charts = [];

  /** @param {HTMLElement} figure */
  async function draw(figure) {
    loading ??= fetchAll(window, figure.dataset);
    const create = await loading;
    const isNew = !charts.some((chart) => chart.figure === figure);
    if (create && isNew && figure.isConnected) charts.push(create(figure));
  }

  function look() {
    for (const chart of charts) chart.isHere() ? chart.look() : chart.end();
    charts = charts.filter((chart) => chart.isHere());
    for (const figure of findAll(window.document, '[data-chart]')) {
      if ('rests' in figure.dataset) drawWhenTouched(figure, draw);
      else draw(figure);
    }
  }

  /** @param {ProgressEvent} event */
  function progress(event) {
    for (const chart of charts) chart.progress(event);
  }

  look();
  return { look, progress };
}
