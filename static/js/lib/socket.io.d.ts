// Stands beside the vendored client (hatch_build.py puts it there), so that its types are those of
// the package and nothing of its own code is checked.
export { io } from 'socket.io-client';
