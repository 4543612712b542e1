// After a change of role, and after signing in again: fetches this page as the server would show it
// now and morphs it into place, without a reload, so that scroll, focus and half-typed forms stay and
// every form has a token that counts.

import { findAll, findOptional } from '../lib/dom.js';

/** @import { Htmx, Idiomorph } from '../lib/types.js' */

/**
 * @param {typeof globalThis.fetch} fetch
 * @param {Location} location
 */

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

/**
 * @param {string} selector
 * @param {string} name
 * @param {Document} document
 * @param {Document} fresh
 */
function copyAttribute(selector, name, document, fresh) {
  const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
  const value = now?.getAttribute(name) ?? null;
  if (old && value !== null) old.setAttribute(name, value);
}

/**
 * @param {object} page
 * @param {Document} page.document
 * @param {Location} page.location
 * @param {typeof globalThis.fetch} page.fetch
 * @param {Idiomorph} page.Idiomorph
 * @param {Htmx} page.htmx
 */
export async function redraw({ document, location, fetch, Idiomorph, htmx }) {
  const answer = await fetchPage(fetch, location);
  const { user, page } = answer?.page.body.dataset ?? {};
  if (!answer || !user) return; // Signed out, or no page of ours: nothing to show instead.
  if (user !== document.body.dataset.user) return location.reload(); // Another person's data is none of theirs.
  // A form that came back with errors stands under the address of another page, and a forbidden page
  // is none at all: then only the frame is drawn anew.
  const part = answer.ok && page === document.body.dataset.page ? 'body' : 'header';
  const [old, now] = [document.querySelector(part), answer.page.querySelector(part)];
  if (!old || !now) return;
  Idiomorph.morph(old, now, { morphStyle: 'innerHTML' });
  copyAttribute('body', 'data-role', document, answer.page);
  copyAttribute('meta[name="csrf-token"]', 'content', document, answer.page);
  /** @type {HTMLMetaElement | null} */
  const token = findOptional(document, 'meta[name="csrf-token"]');
  /** @type {HTMLInputElement[]} */
  const inputs = findAll(document, 'input[name="csrf_token"]');
  for (const input of inputs) input.value = token?.content ?? input.value;
  htmx.process(old);
}
