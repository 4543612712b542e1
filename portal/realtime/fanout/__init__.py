"""Fan-out: frames each broadcast once for all clients, and reads and writes their sockets.

Most of these modules import eventlet, so only a serving process imports them.
"""
