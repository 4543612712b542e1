// Draws one chart with uPlot, in the colours and words of the page; its points can be gone through by pointer and by keys.

import { lonely } from './chart-data.js';
import { speedText } from './units.js';

const AXIS = { x: 30, y: 84 }; // Pixels, kept free for the longest word.
const FAR = 10;
const NARROW = 480; // As in chart.css: every other mark of some words would run into its neighbour.

/** The point to go to for a key, of `number`; null where the key means something else. */
export function nextPoint(number, current, key) {
  const from = current ?? number;
  const to = {
    ArrowLeft: from - 1,
    ArrowRight: from + 1,
    PageDown: from - FAR,
    PageUp: from + FAR,
    Home: 0,
    End: number - 1,
  }[key];
  return to === undefined || !number ? null : Math.max(0, Math.min(number - 1, to));
}

function options({ size, style, shown, pointed, wordy }) {
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
          filter: (_, series) => (series === 1 ? lonely(shown().points) : null),
        },
      },
    ],
    hooks: { setCursor: [pointed] },
  };
}

/** `shown()` gives what is to be drawn (see chart-data.js), `point(index)` says what is under the pointer, null for nothing. */
export function drawChart({ window, uPlot, canvas, shown, point }) {
  const style = () => window.getComputedStyle(canvas);
  const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
  let current = null;

  function columns() {
    const { points, step } = shown();
    return [points.map((_, at) => (at + 0.5) * step), points];
  }

  function pointed({ cursor }) {
    current = cursor.left >= 0 ? (cursor.idx ?? null) : null;
    point(current);
  }

  const wordy = canvas.closest('.chart-wordy') !== null;
  const plot = new uPlot(options({ size, style, shown, pointed, wordy }), columns(), canvas);

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
  const room = new ResizeObserver(() => canvas.clientWidth && plot.setSize(size()));
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
