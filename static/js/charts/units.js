// The words of a chart's axes, which grow in the browser. The same as portal/presentation/job_words.py, which a table in tests/js holds
// both to; everywhere else numbers arrive as words.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
/** @type {[unit: string, length: number, smaller: string, step: number][]} */
const LENGTHS = [
  ['d', 86400, 'h', 3600],
  ['h', 3600, 'min', 60],
  ['min', 60, 's', 1],
];

/**
 * `0 B/s`, `1.5 KiB/s`, `41.2 GiB/s`; a dash for unknown.
 *
 * @param {number | null} bytes
 */
export function speedText(bytes) {
  if (bytes === null) return '–';
  let value = bytes;
  let unit = 0;
  for (; value >= 1023.95 && unit < UNITS.length - 1; unit += 1) value /= 1024;
  return `${unit ? value.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}/s`;
}

/**
 * `45 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`.
 *
 * @param {number} seconds
 */
export function durationText(seconds) {
  const whole = Math.floor(seconds);
  for (const [unit, length, smaller, step] of LENGTHS) {
    if (whole < length) continue;
    const rest = Math.floor((whole % length) / step);
    return `${Math.floor(whole / length)} ${unit}${rest ? ` ${rest} ${smaller}` : ''}`;
  }
  return `${whole} s`;
}
