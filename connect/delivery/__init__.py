"""What the worker owes the server: leases to extend, and replies to serialise and to keep until the server has them."""
