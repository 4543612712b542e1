"""Fan-out: frames a broadcast once for everyone; reads and writes the sockets.

Most of its modules bring the cooperative loop: only a serving process imports them.
"""
