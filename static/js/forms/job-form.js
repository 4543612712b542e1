// Says at the foot of the new-job form what the transfer will do, in one sentence that follows what is typed.

import { find } from '../lib/dom.js';

/** @type {Record<string, (from: string, to: string) => string>} */
const SENTENCES = {
  copy: (from, to) => `Copies everything in ${from} to ${to}; nothing is deleted in ${to}.`,
  sync: (from, to) =>
    `Makes ${to} the same as ${from}; files only in ${to} are deleted, after you have reviewed them.`,
  move: (from, to) =>
    `Moves everything in ${from} to ${to}; files are deleted in ${from} once they are there, after you have reviewed them.`,
  check: (from, to) => `Compares ${from} with ${to}; nothing is changed.`,
};

/**
 * The sentence for these values, or an empty one while something is missing.
 *
 * @param {{ operation: string, source: string, destination: string, dryRun?: boolean }} values
 */
export function sentence({ operation, source, destination, dryRun }) {
  if (!Object.hasOwn(SENTENCES, operation) || !source || !destination) return '';
  const sentence = SENTENCES[operation](source, destination);
  return dryRun ? `${sentence} Dry run: changes are reported, not made.` : sentence;
}

/** @param {HTMLFormElement} form */
export function initJobForm(form) {
  const place = find(form, '[data-job-sentence]');
  const button = find(form, '[data-check]');
  const say = () => {
    const values = new FormData(form);
    /** @param {string} name */
    const text = (name) => /** @type {string} */ (values.get(name) ?? '');
    place.textContent = sentence({
      operation: text('operation'),
      source: text('source').trim(),
      destination: text('destination').trim(),
      dryRun: values.has('dry_run'),
    });
    const deletes = ['sync', 'move'].includes(text('operation')) && !values.has('dry_run');
    button.textContent = (deletes ? button.dataset.check : button.dataset.start) ?? '';
  };
  form.addEventListener('input', say);
  say();
}
