// Fetches what draws charts: uPlot, its style, and the modules that feed it.

/** @import { CreateChart } from './page-charts.js' */

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
 * Resolves to what makes a chart of a figure; to null where it could not be fetched.
 *
 * @param {Window} window
 * @param {DOMStringMap} figure names the library and its style.
 * @returns {Promise<CreateChart | null>}
 */
export async function fetchAll(window, { library = '', style = '' }) {
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
  return null;
}
