"""Plain functions, each named by the verb of its button. They are the only writers, and they
commit."""
