// Finds the charts of a page, also those that a reply has put there. What draws them is fetched where one is to be drawn:
// at once, or where a chart rests (data-rests) when a pointer or the focus comes to it. Until then the plain one stands.

let loading = null;

function isLanguage(text) {
  try {
    return Intl.getCanonicalLocales(text).length === 1;
  } catch {
    return false;
  }
}

function fetched(document, element) {
  return new Promise((done) => {
    element.addEventListener('load', () => done(true));
    element.addEventListener('error', () => done(false));
    document.head.append(element);
  });
}

/** Resolves to what makes a chart of a figure, or to nothing: then the plain one stays, until the next try. */
async function fetchAll(window, { library, style }) {
  const { document, navigator } = window;
  // uPlot asks for the browser's language as it begins, and dies of one that is none: where the machine has no locale,
  // Chromium says "en-US@posix".
  const stands = !isLanguage(navigator.language);
  if (stands) Object.defineProperty(navigator, 'language', { value: 'en', configurable: true });
  const parts = [
    Object.assign(document.createElement('script'), { src: library }),
    Object.assign(document.createElement('link'), { rel: 'stylesheet', href: style }),
  ];
  const [{ createChart }] = await Promise.all([
    import('./live-chart.js').catch(() => ({})),
    ...parts.map((part) => fetched(document, part)),
  ]);
  if (stands) delete navigator.language;
  if (createChart && window.uPlot) return (figure) => createChart(window, window.uPlot, figure);
  loading = null;
  return null;
}

function untouched(figure, draw) {
  const canvas = figure.querySelector('.chart-canvas');
  if ('waits' in canvas.dataset) return;
  canvas.dataset.waits = '';
  canvas.tabIndex = 0;
  for (const name of ['role', 'aria-label', 'aria-describedby']) {
    canvas.setAttribute(name, canvas.nextElementSibling.getAttribute(name));
  }
  for (const name of ['pointerenter', 'focus'])
    canvas.addEventListener(name, () => draw(figure), { once: true });
}

export function initCharts({ window }) {
  let charts = [];

  async function draw(figure) {
    loading ??= fetchAll(window, figure.dataset);
    const create = await loading;
    const isNew = !charts.some((chart) => chart.figure === figure);
    if (create && isNew && figure.isConnected) charts.push(create(figure));
  }

  function look() {
    for (const chart of charts) chart.isHere() ? chart.look() : chart.end();
    charts = charts.filter((chart) => chart.isHere());
    for (const figure of window.document.querySelectorAll('[data-chart]')) {
      if ('rests' in figure.dataset) untouched(figure, draw);
      else draw(figure);
    }
  }

  function progress(event) {
    for (const chart of charts) chart.progress(event);
  }

  look();
  return { look, progress };
}
