"""Processes of this machine: started, confined, held as a group, watched and ended."""
