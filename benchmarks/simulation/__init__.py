"""A fleet of workers on a virtual clock, with the worker's own code and a modelled server: what benchmarks/fleet.py runs."""
