"""How a worker is watched from outside: metrics, traces, and the HTTP port with probes, status and the live page."""
