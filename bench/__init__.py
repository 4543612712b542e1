"""Benchmarks: `make bench` runs them all, `python -m bench.NAME` one of them.

Each starts what it needs on this machine alone, stops by itself, cleans up, and writes what it
measured into its section of docs/performance.md.
"""
