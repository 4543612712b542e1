// Letters typed on a list, as a list of the system takes them: those of a moment are one beginning of a name, the same
// letter again goes on to the next such name.

const MOMENT = 800; // Milliseconds.

export function typedAhead() {
  let begun = '';
  let at = -Infinity;

  return {
    /**
     * What has been typed in this moment, with `key`.
     *
     * @param {string} key
     * @param {number} time
     */
    add(key, time) {
      begun = time - at < MOMENT ? begun + key : key;
      at = time;
      return begun;
    },

    /**
     * Whether a key now would go on with a beginning.
     *
     * @param {number} time
     */
    isOpen: (time) => begun !== '' && time - at < MOMENT,

    /**
     * The index of the name that is meant, from the one at `current` on and around; or -1.
     *
     * @param {string[]} names
     * @param {number} current
     */
    next(names, current) {
      const wanted = begun.toLowerCase();
      const isRepeated = new Set(wanted).size === 1;
      const beginning = isRepeated ? wanted[0] : wanted;
      const first = current + (isRepeated ? 1 : 0);
      const order = names.map((_, step) => (first + step + names.length) % names.length);
      return order.find((index) => names[index].toLowerCase().startsWith(beginning)) ?? -1;
    },
  };
}
