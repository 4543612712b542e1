// What a refetch must leave alone while it is morphed into the page: newer rows, typed text, opened panels, a question
// that waits for its answer.

function isTouched(field) {
  if (field.tagName === 'OPTION') return isTouched(field.closest('select'));
  if (field.tagName === 'SELECT')
    return [...field.options].some((option) => option.selected !== option.defaultSelected);
  return field.value !== field.defaultValue || field.checked !== field.defaultChecked;
}

/** Idiomorph's callbacks; `mayReplace(row, seq)` is asked for rows. */
export function morphCallbacks(mayReplace) {
  return {
    beforeNodeMorphed(old, fresh) {
      if (!(old instanceof Element && fresh instanceof Element)) return true;
      if (old.hasAttribute('data-keep')) return false;
      if (!old.dataset.seq || old.dataset.job !== fresh.dataset.job) return true;
      return mayReplace(old, Number(fresh.dataset.seq));
    },
    // What the page itself has added stays for as long as the place it stands in.
    beforeNodeRemoved: (node) => !(node instanceof Element && node.hasAttribute('data-keep')),
    beforeAttributeUpdated(name, element) {
      if (name === 'open' && element.tagName === 'DETAILS') return false;
      if (name === 'data-state') return false;
      if (name === 'hidden' && element.nextElementSibling?.matches('.confirm')) return false;
      if (!['value', 'checked', 'selected'].includes(name)) return true;
      return !(element.matches('input, textarea, select, option') && isTouched(element));
    },
  };
}
