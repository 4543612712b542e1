"""Plain functions, named by the button's verb: the only writers, and they commit."""
