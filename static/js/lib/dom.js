// What querySelector finds, with its type. Nearly all that scripts touch is HTML; where it is of
// another kind, the type of the variable says which.

/**
 * The first element that matches; only for what the page is known to hold.
 *
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E}
 */
export const find = (root, selector) => /** @type {E} */ (root.querySelector(selector));

/**
 * The first element that matches, where there is one.
 *
 * @template {Element} [E=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E | null}
 */
export const findOptional = (root, selector) => root.querySelector(selector);

/**
 * All elements that match, in a list that stays as it is.
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
 * The element around what an event happened to that matches, itself included.
 *
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export const closest = (event, selector) => /** @type {Element} */ (event.target).closest(selector);
