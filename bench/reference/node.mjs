// The server to beat: Node.js Socket.IO as its manual shows it.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Server } from 'socket.io';

const http = createServer((_request, response) => response.end('a page\n'));
const io = new Server(http, { transports: ['websocket'] });
io.on('connection', (socket) => socket.join('everyone'));

createInterface({ input: process.stdin }).on('line', (line) => {
  const { events, tick, every, first, event } = JSON.parse(line);
  let n = first;
  const turn = () => {
    for (let i = 0; i < tick && n < first + events; i += 1, n += 1) {
      const t = (performance.timeOrigin + performance.now()) / 1000;
      io.to('everyone').emit('job_progress', { ...event, n, t });
    }
    if (n >= first + events) console.log('done');
    else if (every) setTimeout(turn, every * 1000);
    else setImmediate(turn);
  };
  if (events) turn();
  else console.log(global.gc() ?? 'done'); // before its memory is looked at
});
http.listen(Number(process.argv[2]), '127.0.0.1', 4096, () => console.log('ready'));
