// After a change of role, and after signing in again: fetches this page as the server would show it now and morphs it
// into place, without a reload, so that scroll, focus and half-typed forms stay and every form has a token that counts.

async function fetchPage(fetch, location) {
  try {
    const answer = await fetch(location.href, {
      headers: { Accept: 'text/html' },
      cache: 'no-store',
    });
    return {
      ok: answer.ok,
      page: new DOMParser().parseFromString(await answer.text(), 'text/html'),
    };
  } catch (error) {
    if (error instanceof TypeError) return null; // No network: the next connection refetches.
    throw error;
  }
}

function copyAttribute(selector, name, document, fresh) {
  const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
  if (old && now?.hasAttribute(name)) old.setAttribute(name, now.getAttribute(name));
}

export async function redraw({ document, location, fetch, Idiomorph, htmx }) {
  const answer = await fetchPage(fetch, location);
  const { user, page } = answer?.page.body.dataset ?? {};
  if (!user) return; // Signed out, or no page of ours: nothing to show instead.
  if (user !== document.body.dataset.user) return location.reload(); // Another person's data is none of theirs.
  // A form that came back with errors stands under the address of another page, and a forbidden page is none at all:
  // then only the frame is drawn anew.
  const part = answer.ok && page === document.body.dataset.page ? 'body' : 'header';
  const [old, now] = [document.querySelector(part), answer.page.querySelector(part)];
  if (!old || !now) return;
  Idiomorph.morph(old, now, { morphStyle: 'innerHTML' });
  copyAttribute('body', 'data-role', document, answer.page);
  copyAttribute('meta[name="csrf-token"]', 'content', document, answer.page);
  for (const input of document.querySelectorAll('input[name="csrf_token"]')) {
    input.value = document.querySelector('meta[name="csrf-token"]')?.content ?? input.value;
  }
  htmx.process(old);
}
