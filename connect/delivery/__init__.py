"""What the worker owes the server: leases to extend, replies to make, and replies to keep until the server has them."""
