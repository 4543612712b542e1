"""The event bus: every web process receives each message that one process publishes.

Messages are hints. They are not kept for a process that does not listen: the database is the truth.
"""
