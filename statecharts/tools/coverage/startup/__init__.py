"""A folder for PYTHONPATH: what it holds is run when a process starts."""
