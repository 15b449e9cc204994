"""What is made from the charts: pictures and pages, the coverage of their transitions, paths through them."""
