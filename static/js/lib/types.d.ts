// The shapes that modules exchange with each other, and the server with the page. Only the type checker reads
// this file.

export type State =
  | 'connecting'
  | 'connected'
  | 'reconnecting'
  | 'polling'
  | 'offline'
  | 'signed-out';

/** An event that changes the state of a connection; see connection-state.js. */
export type StateEvent =
  | 'open'
  | 'attempt-failed'
  | 'deadline'
  | 'unsupported'
  | 'lost'
  | 'role-changed'
  | 'session-ended'
  | 'poll-failed'
  | 'poll-succeeded'
  | 'signed-in';

/** Passes an event from a page to the tab that holds the socket. */
export type Tell = (event: StateEvent | 'retry-now', why?: string) => void;

/** The connection as one tab tells the others of it; moments in milliseconds since 1970. */
export interface Snapshot {
  state: State;
  /** Failed attempts in a row. */
  attempts: number;
  attempting: boolean;
  nextAttemptAt: number | null;
  since: number;
  reason: string | null;
  /** In milliseconds. */
  roundTrip: number | null;
  /** Whether events of the server's other processes do not arrive at the moment. */
  delayed: boolean;
}

/** The detail of `portal:connection`. */
export interface ConnectionDetail extends Snapshot {
  previous: State | null;
  /** Moment at which the page last got data. */
  lastData: number;
}

/** A job in words, by field; made by the server. */
export type Display = Record<string, string>;

interface JobEvent {
  job_id: number;
  /** Grows with every event of its job. */
  seq: number;
  timestamp: string;
}

export interface ProgressEvent extends JobEvent {
  /** Null while the total is unknown. */
  percent: number | null;
  speed_bytes: number;
  display: Display;
}

export interface StatusEvent extends JobEvent {
  old_status: string;
  new_status: string;
  percent: number | null;
  name: string;
  owner_id: number;
  display: Display;
}

export interface ChangedEvent extends JobEvent {
  status: string;
  percent: number | null;
  display: Display;
}

export interface CreatedEvent extends JobEvent {
  status: string;
}

/** The fields of a job's rows that an event may contain. */
export interface ViewEvent {
  job_id: number;
  seq: number;
  new_status?: string;
  percent?: number | null;
  display?: Display;
}

/** One view of a job: of an event, or of a row that shows it. */
export interface View {
  job: number;
  seq: number;
  /** Null where the event was no change of status. */
  status: string | null;
  /** Undefined if the event does not mention it. */
  percent: number | null | undefined;
  display: Display;
}

/** Events that are published in every tab: each name with its detail. */
export interface Published {
  'portal:connection': Snapshot;
  'portal:progress': ProgressEvent;
  'portal:status': StatusEvent;
  'portal:changed': ChangedEvent;
  'portal:created': CreatedEvent;
  'portal:missed': Record<string, never>;
  'portal:role-changed': Record<string, never>;
}

export type Publish = <Name extends keyof Published>(name: Name, detail: Published[Name]) => void;

/** A message from one tab to the others. */
export type Message =
  | { name: 'hello' }
  | { name: 'tell'; event: StateEvent | 'retry-now'; why?: string }
  | { name: keyof Published; detail: Published[keyof Published] };

/** What tabs need of a BroadcastChannel. */
export interface Channel {
  postMessage(message: Message): void;
  onmessage: ((event: MessageEvent<Message>) => void) | null;
  close(): void;
}

export interface Timer {
  /** Due moment, in milliseconds since 1970. */
  due: number;
  cancel(): void;
}

export interface Clock {
  /** Seconds on a clock that nobody can set. */
  now(): number;
  /** Milliseconds since 1970. */
  wall(): number;
  after(seconds: number, act: () => void): Timer;
}

/** The server's answer to a subscription. */
export interface Subscribed {
  topics: string[];
  role: string;
}

/** One socket, as reconnector.js wants it. */
export interface Socket {
  ask(topics: string[], answered: (answer: Subscribed) => void): void;
  close(): void;
}

/** The events that a socket passes to its owner, with the payload of each. */
export interface SocketEvents {
  open: undefined;
  failed: { refused: boolean; why: string };
  closed: { why: string };
  session_ended: { reason: string };
  live_delayed: { delayed: boolean };
  job_progress: ProgressEvent;
  job_status_change: StatusEvent;
  job_changed: ChangedEvent;
  job_created: CreatedEvent;
  refresh: Record<string, never>;
}

/** Each event of a socket as a pair, so that its name tells the type of its payload. */
export type SocketEvent = {
  [Name in keyof SocketEvents]: [name: Name, payload: SocketEvents[Name]];
}[keyof SocketEvents];

export type SocketListener = (...event: SocketEvent) => void;

/** Whether this browser is signed in; `unknown` if no answer came. */
export type SessionState = 'live' | 'ended' | 'unknown';

/** The curve of one chart as the server writes it; see presentation/charts.py. */
export interface ChartData {
  /** The job whose live figures belong to it, if it is one job's. */
  job: number | null;
  /** In milliseconds since 1970. */
  start: number;
  /** Seconds between two points. */
  step: number;
  points: Points;
  /** Seconds from left to right. */
  width: number;
  /** Bytes a second. */
  top: number;
  /** Number of parts of the scale. */
  parts: number;
  /** Seconds and their words. */
  marks: [number, string][];
  /** The time zone of its clock times; null: it shows the time since the start. */
  zone: string | null;
}

/** Bytes a second, null in a gap. */
export type Points = (number | null)[];

/** The details of an htmx request that these modules read. */
export interface RequestDetail {
  elt: Element;
  target: HTMLElement;
  verb: string;
  headers: Record<string, string | undefined>;
  timeout: number;
  xhr: XMLHttpRequest;
  requestConfig: { verb: string; elt?: Element };
  serverResponse: string;
  shouldSwap: boolean;
  isError: boolean;
}

type HtmxEvents = {
  [Name in
    | 'htmx:configRequest'
    | 'htmx:beforeRequest'
    | 'htmx:beforeOnLoad'
    | 'htmx:beforeSwap'
    | 'htmx:afterSwap'
    | 'htmx:afterSettle'
    | 'htmx:afterOnLoad'
    | 'htmx:afterRequest'
    | 'htmx:responseError'
    | 'htmx:sendError'
    | 'htmx:timeout']: CustomEvent<RequestDetail>;
};

type PortalEvents = {
  [Name in Exclude<keyof Published, 'portal:connection'>]: CustomEvent<Published[Name]>;
} & { 'portal:connection': CustomEvent<ConnectionDetail> };

/** The callbacks of Idiomorph that the page answers; false leaves things as they are. */
export interface MorphCallbacks {
  beforeNodeMorphed(old: Node, fresh: Node): boolean;
  beforeNodeRemoved(node: Node): boolean;
  beforeAttributeUpdated(name: string, element: Element): boolean;
}

export interface Htmx {
  ajax(
    verb: string,
    path: string,
    context: { source: Element; target: Element; swap: string },
  ): Promise<void>;
  config: { disableInheritance: boolean };
  process(element: Element): void;
  trigger(element: Element, event: string): void;
}

export interface Idiomorph {
  defaults: { callbacks: MorphCallbacks };
  morph(old: Element, fresh: Element, options: { morphStyle: 'innerHTML' | 'outerHTML' }): void;
}

declare global {
  interface DocumentEventMap extends HtmxEvents, PortalEvents {
    freeze: Event;
    resume: Event;
  }
  interface HTMLElementEventMap extends HtmxEvents {}
  interface Window {
    htmx: Htmx;
    Idiomorph: Idiomorph;
    /** Loaded with the first chart that is to be drawn. */
    uPlot?: typeof import('uplot').default;
  }
}
