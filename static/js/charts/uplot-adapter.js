// Draws one chart with uPlot; pointer and keys go through its points.

import { uplotOptions } from './uplot-options.js';

/** @import Plot from 'uplot' */
/** @import { ChartData } from '../lib/types.js' */

const PAGE_POINTS = 10; // Points that the page keys go over.

/**
 * The point to go to for a key, of `number`; null where the key means something else.
 *
 * @param {number} number
 * @param {number | null} current
 * @param {string} key
 */
export function nextPoint(number, current, key) {
  const from = current ?? number;
  /** @type {Record<string, number>} */
  const places = {
    ArrowLeft: from - 1,
    ArrowRight: from + 1,
    PageDown: from - PAGE_POINTS,
    PageUp: from + PAGE_POINTS,
    Home: 0,
    End: number - 1,
  };
  const to = places[key];
  return to === undefined || !number ? null : Math.max(0, Math.min(number - 1, to));
}

/**
 * @param {object} chart
 * @param {Window} chart.window
 * @param {typeof Plot} chart.uPlot the library.
 * @param {HTMLElement} chart.canvas
 * @param {() => ChartData} chart.shown gives what is to be drawn; see chart-data.js.
 * @param {(index: number | null) => void} chart.point says what is under the pointer.
 */
export function drawChart({ window, uPlot, canvas, shown, point }) {
  const style = () => window.getComputedStyle(canvas);
  const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
  /** @type {number | null} */
  let current = null;

  /** @returns {Plot.AlignedData} */
  function columns() {
    const { points, step } = shown();
    return [points.map((_, at) => (at + 0.5) * step), points];
  }

  /** @param {Plot} plot */
  function pointed({ cursor }) {
    current = (cursor.left ?? -1) >= 0 ? (cursor.idx ?? null) : null;
    point(current);
  }

  const wordy = canvas.closest('.chart-wordy') !== null;
  const plot = new uPlot(uplotOptions({ size, style, shown, pointed, wordy }), columns(), canvas);

  /** @param {KeyboardEvent} event */
  function press(event) {
    const to = nextPoint(shown().points.length, current, event.key);
    if (to === null) return;
    event.preventDefault();
    plot.setCursor({ left: plot.valToPos((to + 0.5) * shown().step, 'x'), top: 0 });
  }

  const leave = () => plot.setCursor({ left: -10, top: -10 });
  canvas.addEventListener('keydown', press);
  canvas.addEventListener('blur', leave);
  const theme = new MutationObserver(() => plot.redraw());
  theme.observe(window.document.documentElement, {
    attributes: true,
    attributeFilter: ['data-bs-theme'],
  });
  const room = new ResizeObserver(() => {
    if (canvas.clientWidth) plot.setSize(size());
  });
  room.observe(canvas);

  return {
    update() {
      plot.setData(columns());
      point(current);
    },
    end() {
      theme.disconnect();
      room.disconnect();
      plot.destroy();
    },
  };
}
