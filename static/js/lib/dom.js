// Typed forms of querySelector. Nearly all elements that scripts touch are HTML; for others, the type of
// the variable says which kind they are.

/**
 * Returns the first element that matches; only for elements that the page is known to hold.
 *
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E}
 */
export const find = (root, selector) => /** @type {E} */ (root.querySelector(selector));

/**
 * Returns the first element that matches, or null.
 *
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E | null}
 */
export const findOptional = (root, selector) => root.querySelector(selector);

/**
 * Returns all elements that match, in a list that does not change.
 *
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E[]}
 */
export const findAll = (root, selector) => [
  .../** @type {NodeListOf<E>} */ (root.querySelectorAll(selector)),
];

/**
 * Returns the closest element that matches, from the event's target outwards.
 *
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export const closest = (event, selector) => /** @type {Element} */ (event.target).closest(selector);

/**
 * Writes only what differs: each write into a live region may be read out.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
