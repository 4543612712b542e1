// Just enough of an element for rows.js and its neighbours: attributes, a dataset, text, and slots by selector.

export function element(attributes = {}, slots = {}) {
  const map = new Map(Object.entries(attributes));
  const classes = new Set();
  let text = '';
  const self = {
    writes: 0,
    dataset: {},
    slots,
    hidden: false,
    classList: {
      toggle: (name, on) => (on ? classes.add(name) : classes.delete(name)),
      remove: (name) => classes.delete(name),
      contains: (name) => classes.has(name),
    },
    get textContent() {
      return text;
    },
    set textContent(value) {
      text = value;
      self.writes += 1;
    },
    get value() {
      return Number(map.get('value'));
    },
    getAttribute: (name) => map.get(name) ?? null,
    setAttribute: (name, value) => map.set(name, String(value)),
    removeAttribute: (name) => map.delete(name),
    hasAttribute: (name) => map.has(name),
    querySelectorAll: (selector) => self.slots[selector] ?? [],
    querySelector: (selector) => (self.slots[selector] ?? [])[0] ?? null,
  };
  return self;
}

/** A job's row as templates/jobs/_row.html makes it, with the given slots. */
export function jobRow({ job = 17, seq = 1, status = 'running', age = '0', percent = '10' } = {}) {
  const field = (name) => Object.assign(element(), { dataset: { field: name } });
  const fields = ['status', 'phase', 'percent', 'bytes', 'speed', 'eta', 'files', 'age'].map(field);
  const bar = element(percent === null ? {} : { value: percent });
  const icon = element({ href: '/static/v1/icons.svg#running' });
  const row = element(
    {},
    {
      '[data-field]': fields,
      '[data-field="age"]': [fields[7]],
      '[data-field="status"]': [fields[0]],
      '[data-field-bar]': [bar],
      '[data-field-bar][value]': percent === null ? [] : [bar],
      'use[data-field-icon], [data-field-icon] use': [icon],
    },
  );
  row.dataset = { job: String(job), seq: String(seq), status, age };
  const shown = Object.fromEntries(fields.map((slot) => [slot.dataset.field, slot]));
  return Object.assign(row, { shown, bar, icon });
}

export function progress(seq, more = {}) {
  return {
    job_id: 17,
    seq,
    percent: seq,
    display: { percent: `${seq} %`, bytes: `${seq} MiB`, valuetext: `${seq} %, ${seq} MiB` },
    ...more,
  };
}

export function change(seq, status, more = {}) {
  const display = { status: status.toUpperCase(), icon: status, tone: 'green', percent: '100 %' };
  return { job_id: 17, seq, new_status: status, percent: 100, display, ...more };
}
