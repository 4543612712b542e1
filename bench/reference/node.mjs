// The server to beat: Node.js Socket.IO as its manual shows it.
import { createInterface } from 'node:readline'
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer((_request, response) => response.end('a page\n'))
const io = new Server(http, { transports: ['websocket'] })
io.on('connection', (socket) => socket.join('everyone'))

const emit = (event, n) => {
  event.n = n
  event.t = Date.now() / 1000
  io.to('everyone').emit('job_progress', event)
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const { events, tick, every, event, first, collect } = JSON.parse(line)
  if (collect) global.gc()
  let n = first
  const turn = () => {
    for (let i = 0; i < tick && n < first + events; i += 1, n += 1) emit(event, n)
    if (n < first + events) setTimeout(turn, every * 1000)
    else console.log('done')
  }
  turn()
})
http.listen(Number(process.argv[2]), '127.0.0.1', 8192, () => console.log('ready'))
