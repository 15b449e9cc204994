"""The live page: a worker's lifecycle as it happens, on its own diagrams.

`story` keeps what the page shows, `page` serves it, `controls` are the lab's buttons, which do to the worker what the world does.
A production worker can serve the page without them (`connect.monitor`).
"""
