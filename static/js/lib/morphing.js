// Keeps parts of the page unchanged while a refetch is morphed into it: newer rows, typed text, opened
// panels, and a question that waits for its answer.

/** @import { MorphCallbacks } from './types.js' */

/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement | HTMLOptionElement} Field */

/**
 * Returns whether a person has changed `field`.
 *
 * @param {Field} field
 * @returns {boolean}
 */
function isTouched(field) {
  const { tagName } = field;
  if (tagName === 'OPTION') {
    return isTouched(/** @type {HTMLSelectElement} */ (field.closest('select')));
  }
  if (tagName === 'SELECT') {
    const { options } = /** @type {HTMLSelectElement} */ (field);
    return [...options].some((option) => option.selected !== option.defaultSelected);
  }
  const input = /** @type {HTMLInputElement} */ (field);
  return input.value !== input.defaultValue || input.checked !== input.defaultChecked;
}

/**
 * Idiomorph's callbacks.
 *
 * @param {(row: HTMLElement, seq: number) => boolean} mayReplace is asked for rows.
 * @returns {MorphCallbacks}
 */
export function morphCallbacks(mayReplace) {
  return {
    beforeNodeMorphed(old, fresh) {
      if (!(old instanceof Element && fresh instanceof Element)) return true;
      if (old.hasAttribute('data-keep')) return false;
      const [row, reply] = /** @type {HTMLElement[]} */ ([old, fresh]);
      if (!row.dataset.seq || row.dataset.job !== reply.dataset.job) return true;
      return mayReplace(row, Number(reply.dataset.seq));
    },
    // An element that the page itself added stays as long as the element around it.
    beforeNodeRemoved: (node) => !(node instanceof Element && node.hasAttribute('data-keep')),
    beforeAttributeUpdated(name, element) {
      if (name === 'open' && element.tagName === 'DETAILS') return false;
      if (name === 'data-state') return false;
      if (name === 'hidden' && element.nextElementSibling?.matches('.confirm')) return false;
      if (!['value', 'checked', 'selected'].includes(name)) return true;
      const isField = element.matches('input, textarea, select, option');
      return !(isField && isTouched(/** @type {Field} */ (element)));
    },
  };
}
