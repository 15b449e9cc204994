"""Charts as pictures, tables and pages."""
