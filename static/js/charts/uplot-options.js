// How uPlot is to draw a chart: its scales, axes and line, in the colours and words of the page.

import { speedText } from './units.js';

/** @import uPlot from 'uplot' */
/** @import { ChartData, Points } from '../lib/types.js' */

const AXIS = { x: 30, y: 84 }; // Pixels, kept free for the longest word.
const NARROW = 480; // As in chart.css: every other mark of some words would run into its neighbour.

/**
 * Where points stand alone between gaps: as a line they would not be seen.
 *
 * @param {Points} points
 */
export function isolatedPoints(points) {
  /** @param {number} at */
  const known = (at) => typeof points[at] === 'number';
  return [...points.keys()].filter((at) => known(at) && !known(at - 1) && !known(at + 1));
}

/**
 * @param {object} chart
 * @param {() => { width: number, height: number }} chart.size in pixels.
 * @param {() => CSSStyleDeclaration} chart.style of the canvas, as the page shows it now.
 * @param {() => ChartData} chart.shown gives what is to be drawn.
 * @param {(plot: uPlot) => void} chart.pointed is called when the pointer has moved.
 * @param {boolean} chart.wordy whether its marks are long.
 * @returns {uPlot.Options}
 */
export function uplotOptions({ size, style, shown, pointed, wordy }) {
  /** @param {string} name */
  const colour = (name) => () => style().getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--portal-grey'),
    font: `12px ${style().fontFamily}`,
    ticks: { show: false },
  };
  const heights = () =>
    Array.from({ length: shown().parts + 1 }, (_, part) => (shown().top * part) / shown().parts);
  return {
    ...size(),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    padding: [8, 28, 0, 0],
    scales: {
      x: { time: false, range: () => [0, shown().width] },
      y: { range: () => [0, shown().top] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: AXIS.x,
        splits: () => shown().marks.map(([second]) => second),
        values: ({ width }) =>
          shown().marks.map(([, words], number) =>
            wordy && width < NARROW && number % 2 ? '' : words,
          ),
      },
      {
        ...axis,
        // Tabler's colour of lines is a formula, which only a property resolves.
        grid: { stroke: () => style().borderTopColor, width: 1 },
        size: AXIS.y,
        splits: heights,
        values: (_, values) => values.map(speedText),
      },
    ],
    series: [
      {},
      {
        stroke: colour('--portal-blue'),
        fill: colour('--chart-fill'),
        width: 1.5,
        points: {
          show: false,
          size: 4,
          filter: (_, series) => (series === 1 ? isolatedPoints(shown().points) : null),
        },
      },
    ],
    hooks: { setCursor: [pointed] },
  };
}
