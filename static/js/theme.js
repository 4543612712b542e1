// Classic script for <head>: sets the colours before the first paint, from <html data-theme> or, if that is `auto`, the system.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  function paint() {
    const { theme } = root.dataset;
    const chosen = theme === 'light' || theme === 'dark' ? theme : dark.matches ? 'dark' : 'light';
    root.setAttribute('data-bs-theme', chosen);
  }
  dark.addEventListener('change', paint);
  paint();
})();
