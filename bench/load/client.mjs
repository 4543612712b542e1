// One load client for every server: many WebSockets that offer compression as browsers do. Each
// must get every event whole and in order: the first to get an event reads it, and all others must
// get the very same bytes in the same place.
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { signInEach } from './form.mjs';

const clients = [];
let first = 0; // number of the event that is awaited first, and how many
let expected = 0;
let seen = []; // of each awaited event: its bytes, when it was sent, when the last client got it
let delays;
let delivered = 0;

const now = () => (performance.timeOrigin + performance.now()) / 1000;
const say = (answer) => console.log(JSON.stringify(answer));
const fail = (words) => {
  say({ error: words });
  process.exit(1);
};

function receive(client, data) {
  const at = now();
  const index = client.count;
  client.count += 1;
  if (index >= expected) fail(`more events than were sent: ${data}`);
  seen[index] ??= understand(data, index);
  const event = seen[index];
  if (!event.data.equals(data)) fail(`event ${index} differs: ${data}`);
  event.last = at;
  delays[delivered] = at - event.sent;
  delivered += 1;
  if (delivered === expected * clients.length) report();
}

function understand(data, index) {
  const [, { n, t }] = JSON.parse(data.toString().slice(2));
  if (n !== first + index) fail(`event ${n} in place of ${first + index}`);
  return { data: Buffer.from(data), sent: t, last: 0 };
}

const at = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

function report() {
  const toLast = seen.map((event) => event.last - event.sent).sort((a, b) => a - b);
  delays.sort();
  say({
    seconds: Math.max(...seen.map((event) => event.last)) - seen[0].sent,
    last_p50: at(toLast, 0.5),
    last_p99: at(toLast, 0.99),
    p99: at(delays, 0.99),
  });
}

function open(order, index) {
  const headers = { Origin: order.origin };
  if (order.cookies.length) headers.Cookie = order.cookies[index % order.cookies.length];
  const ws = new WebSocket(
    `${order.origin.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`,
    { headers },
  );
  const client = { ws, count: 0 };
  return new Promise((resolve) => {
    ws.on('error', (error) => fail(`client ${index}: ${error.message}`));
    ws.on('close', (code) => {
      if (clients.includes(client)) fail(`client ${index} closed: ${code}`);
    });
    ws.on('message', (data) => {
      if (data[0] === 0x30)
        ws.send('40'); // Engine.IO is open: connect to Socket.IO
      else if (data[0] === 0x32)
        ws.send('3'); // ping, pong
      else if (data[0] !== 0x34) fail(`unknown: ${data}`);
      else if (data[1] === 0x32) receive(client, data);
      else if (data[1] === 0x30) {
        clients.push(client);
        resolve();
      } else fail(`refused: ${data}`);
    });
  });
}

async function connect(order) {
  const begin = performance.now();
  let next = 0;
  const some = async () => {
    while (next < order.connect) {
      next += 1;
      await open(order, next - 1);
    }
  };
  await Promise.all(Array.from({ length: order.at_once }, some));
  say({ seconds: (performance.now() - begin) / 1000 });
}

function enter({ origin, people }) {
  signInEach(origin, people).then(
    (cookies) => say({ cookies }),
    (error) => fail(error.message),
  );
}

function expect(order) {
  first = order.first;
  expected = order.expect;
  seen = [];
  delivered = 0;
  delays = new Float64Array(expected * clients.length);
  for (const client of clients) client.count = 0;
  say({});
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  if (order.people) enter(order);
  else if (order.connect) connect(order);
  else expect(order);
});
