// Finds the charts of a page, also those that a reply has put there. What draws them is fetched where
// one is to be drawn: at once, or where a chart rests (data-rests) when a pointer or the focus comes
// to it. Until then the chart that the server has drawn stands.

import { find, findAll } from '../lib/dom.js';

/** @import { ProgressEvent } from '../lib/types.js' */
/** @typedef {ReturnType<typeof import('./live-chart.js').createChart>} Chart */
/** @typedef {(figure: HTMLElement) => Chart} CreateChart */

/** @type {Promise<CreateChart | null> | null} */
let loading = null;

/**
 * Resolves to what makes a chart of a figure. Where it could not be fetched, resolves to null: the
 * chart that the server has drawn stays until the next try.
 *
 * @param {Window} window
 * @param {DOMStringMap} figure names the library and its style.
 */
async function load(window, figure) {
  const loader = await import('./chart-loader.js').catch(() => null);
  const create = loader && (await loader.fetchAll(window, figure));
  if (!create) loading = null;
  return create;
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
    loading ??= load(window, figure.dataset);
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
