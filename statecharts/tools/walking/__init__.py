"""Ways through a chart, and charts that are wrong in one place."""
