// Keeps one chart at what is known: by what the server has written, and by live figures in between.

import { find, setText } from '../lib/dom.js';
import { createCurve } from './chart-data.js';
import { durationText, speedText } from './units.js';
import { drawChart } from './uplot-adapter.js';

/** @import Plot from 'uplot' */
/** @import { ChartData, ProgressEvent } from '../lib/types.js' */

/**
 * When a point was: since the start of a job, or by the reader's clock.
 *
 * @param {Pick<ChartData, 'start' | 'step' | 'zone'>} chart
 * @param {number} index
 */
export function momentText({ start, step, zone }, index) {
  if (zone === null) return durationText(index * step);
  const clock = new Intl.DateTimeFormat('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    timeZone: zone,
  });
  return clock.format(start + index * step * 1000);
}

/**
 * Makes the drawing a control of its own: keys go through its points, and each is said.
 *
 * @param {HTMLElement} canvas
 */
function label(canvas) {
  const under = Object.assign(canvas.ownerDocument.createElement('div'), {
    className: 'chart-at',
    hidden: true,
  });
  under.setAttribute('aria-hidden', 'true');
  canvas.append(under);
  const plain = canvas.nextElementSibling; // The chart that the server has drawn.
  for (const name of ['aria-label', 'aria-describedby'])
    canvas.setAttribute(name, plain?.getAttribute(name) ?? '');
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'slider');
  canvas.setAttribute('aria-readonly', 'true');

  /**
   * @param {number} number of points
   * @param {number | null} index
   * @param {string} text
   */
  return function say(number, index, text) {
    under.hidden = index === null;
    setText(under, text);
    const values = {
      min: 0,
      max: Math.max(0, number - 1),
      now: index ?? Math.max(0, number - 1),
      text: text || 'No point is chosen',
    };
    for (const [name, value] of Object.entries(values))
      canvas.setAttribute(`aria-value${name}`, String(value));
  };
}

/**
 * @param {Window} window
 * @param {typeof Plot} uPlot the library
 * @param {HTMLElement} figure
 */
export function createChart(window, uPlot, figure) {
  const canvas = find(figure, '.chart-canvas');
  const curve = createCurve();
  const say = label(canvas);
  let said = '';

  /** Reads what the page says of it now; true if that is something else than before. */
  function read() {
    if (figure.dataset.chart === said) return false;
    said = figure.dataset.chart ?? '';
    curve.replace(JSON.parse(said));
    return true;
  }

  /** @param {number | null} index */
  function point(index) {
    const shown = curve.shown();
    const isPoint = index !== null && index < shown.points.length;
    const words = isPoint ? `${momentText(shown, index)}: ${speedText(shown.points[index])}` : '';
    say(shown.points.length, index, words);
  }

  read();
  point(null);
  const chart = drawChart({ window, uPlot, canvas, shown: curve.shown, point });
  return {
    figure,
    isHere: () => canvas.isConnected,
    end: chart.end,
    look: () => read() && chart.update(),
    /** @param {ProgressEvent} event */
    progress(event) {
      if (curve.shown().job !== event.job_id) return;
      curve.add(event.timestamp, event.speed_bytes);
      chart.update();
    },
  };
}
