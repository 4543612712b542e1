// Says at the foot of the new-job form what the transfer will do, in one sentence that follows what is typed.

const SENTENCES = {
  copy: (from, to) => `Copies everything in ${from} to ${to}; nothing is deleted in ${to}.`,
  sync: (from, to) =>
    `Makes ${to} the same as ${from}; what is only in ${to} is deleted, after you have seen what that is.`,
  move: (from, to) =>
    `Moves everything in ${from} to ${to}; it is deleted in ${from} once it is there, after you have seen what that is.`,
  check: (from, to) => `Compares ${from} with ${to}; nothing is changed.`,
};

/** The sentence for these values, or an empty one while something is missing. */
export function sentence({ operation, source, destination, dryRun }) {
  if (!Object.hasOwn(SENTENCES, operation) || !source || !destination) return '';
  const said = SENTENCES[operation](source, destination);
  return dryRun ? `${said} Dry run: nothing is changed, only reported.` : said;
}

export function initJobForm(form) {
  const place = form.querySelector('[data-job-sentence]');
  const button = form.querySelector('[data-check]');
  const say = () => {
    const values = new FormData(form);
    place.textContent = sentence({
      operation: values.get('operation'),
      source: values.get('source')?.trim(),
      destination: values.get('destination')?.trim(),
      dryRun: values.has('dry_run'),
    });
    const deletes = ['sync', 'move'].includes(values.get('operation')) && !values.has('dry_run');
    button.textContent = deletes ? button.dataset.check : button.dataset.start;
  };
  form.addEventListener('input', say);
  say();
}
