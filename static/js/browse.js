// The dialog beside source and destination: opens on what the field holds, goes through folders by mouse or keys,
// and puts what was chosen into the field. Its contents come from the server; without JavaScript a path is typed.

const ROWS = '.browse-row:is(button), [data-more]';

/** The row to focus for a key, or null where the key means something else. */
export function nextRow(rows, current, key) {
  const at = rows.indexOf(current);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[key];
  return to === undefined ? null : rows[Math.max(0, Math.min(rows.length - 1, to))] ?? null;
}

export function attendBrowse({ document, htmx }) {
  const dialog = document.getElementById('browse');
  if (!dialog) return;
  const panel = dialog.querySelector('#browse-panel');
  let field = null;

  function open(button) {
    field = document.getElementById(button.dataset.browse);
    dialog.querySelector('#browse-title').textContent = button.dataset.title;
    panel.replaceChildren();
    dialog.showModal();
    const query = new URLSearchParams({ side: button.dataset.browse, at: field.value.trim() });
    htmx.ajax('GET', `/browse?${query}`, { source: panel, target: panel, swap: 'innerHTML' }).catch(() => {});
  }

  function choose(text) {
    field.value = text;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    dialog.close();
  }

  function press(event) {
    const { target, key } = event;
    if (target.matches('input')) {
      if (key !== 'ArrowDown') return;
    } else if (key === 'Backspace' || key === 'ArrowLeft') {
      panel.querySelector('[data-up]')?.click();
      event.preventDefault();
      return;
    } else if (key === 'ArrowRight' && target.matches('[data-open]')) {
      target.click();
      event.preventDefault();
      return;
    }
    const row = nextRow([...panel.querySelectorAll(ROWS)], target, key);
    if (!row) return;
    row.focus();
    event.preventDefault();
  }

  for (const button of document.querySelectorAll('[data-browse]')) {
    button.hidden = false;
    button.addEventListener('click', () => open(button));
  }
  dialog.addEventListener('click', (event) => {
    const chosen = event.target.closest('[data-choose]');
    if (chosen) choose(chosen.dataset.choose);
    if (event.target.closest('[data-close]')) dialog.close();
  });
  dialog.addEventListener('close', () => field?.focus());
  panel.addEventListener('keydown', press);
  // What was pressed is gone with the old contents; the keys must find their place in the new ones.
  panel.addEventListener('htmx:afterSwap', ({ detail: { target, xhr } }) => {
    if (target === panel && xhr.status < 400) (panel.querySelector(ROWS) ?? panel.querySelector('button'))?.focus();
  });
  panel.addEventListener('htmx:sendError', () => { panel.textContent = 'There was no answer. Try again.'; });
  panel.addEventListener('htmx:timeout', () => { panel.textContent = 'There was no answer in time. Try again.'; });
}
