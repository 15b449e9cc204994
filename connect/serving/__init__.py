"""The HTTP servers of this package: each bounds connections, times and sizes, and refuses what foreign web pages send."""
