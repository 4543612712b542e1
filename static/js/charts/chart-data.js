// One curve: what the server has written of it, and the live figures since. A gap stays a gap.

/** @import { ChartData, Points } from '../lib/types.js' */

/** Seconds for which a value holds back to the one before it; figures arrive every 1.2 s. */
const MAX_GAP = 3;
const MAX_LIVE = 1000;

/** @typedef {[seconds: number, value: number]} Figure A live one: bytes a second at a moment. */

/**
 * The points that the server has written, continued by the live figures, which are in order.
 *
 * @param {Pick<ChartData, 'step' | 'points'>} data
 * @param {Figure[]} live
 * @returns {Points}
 */
export function merged({ step, points }, live) {
  const all = [...points];
  /** @type {number[][]} */
  const buckets = [];
  let before = points.length ? points.length * step - 0.001 : -Infinity;
  for (const [seconds, value] of live) {
    const index = Math.floor(seconds / step);
    const from = seconds - before <= MAX_GAP ? Math.floor(before / step) + 1 : index;
    for (let at = Math.max(from, points.length); at < index; at += 1) buckets[at] = [value];
    if (index >= points.length) {
      buckets[index] ??= [];
      buckets[index].push(value);
    }
    before = seconds;
  }
  for (let at = points.length; at < buckets.length; at += 1) {
    const bucket = buckets[at];
    all.push(
      bucket ? Math.round(bucket.reduce((sum, value) => sum + value, 0) / bucket.length) : null,
    );
  }
  return all;
}

/**
 * The top of a scale: doubled until nothing is above it.
 *
 * @param {number} top
 * @param {Points} points
 */
export function grown(top, points) {
  const highest = Math.max(0, ...points.filter((value) => value !== null));
  let reached = top;
  while (reached < highest) reached *= 2;
  return reached;
}

export function createCurve() {
  /** @type {ChartData} */
  let data;
  /** @type {Figure[]} */
  let live = [];
  let scale = { top: 0, parts: 1 };
  /** @type {ChartData | null} */
  let drawn = null;

  /**
   * Takes what the server says now. Live figures that it has not written yet stay.
   *
   * @param {ChartData} fresh
   */
  function replace(fresh) {
    const later = data ? (fresh.start - data.start) / 1000 : 0;
    const end = fresh.points.length * fresh.step;
    /** @param {Figure} figure @returns {Figure} */
    const moved = ([at, value]) => [at - later, value];
    live = fresh.job === null ? [] : live.map(moved).filter(([at]) => at >= end);
    // The scale stays where it is: only what is above it may move it.
    if (fresh.top > scale.top) scale = { top: fresh.top, parts: fresh.parts };
    data = fresh;
    drawn = null;
  }

  /**
   * Adds a live figure; `timestamp` is the server's, so that no clock of the reader's matters.
   *
   * @param {string} timestamp
   * @param {number} value
   */
  function add(timestamp, value) {
    const at = (Date.parse(timestamp) - data.start) / 1000;
    if (at < data.points.length * data.step || at <= (live.at(-1)?.[0] ?? -1)) return;
    live.push([at, value]);
    if (live.length > MAX_LIVE) live.shift();
    drawn = null;
  }

  function shown() {
    if (drawn) return drawn;
    const points = merged(data, live);
    scale = { ...scale, top: grown(scale.top, points) };
    drawn = { ...data, ...scale, points };
    return drawn;
  }

  return { replace, add, shown };
}
