"""Two versions of a chart compared."""
