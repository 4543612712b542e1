"""The message queue between processes: what one publishes, every web process hears.

It carries hints. Nothing is kept for who does not listen: the database is the truth.
"""
