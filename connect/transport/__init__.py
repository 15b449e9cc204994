"""The network: HTTP requests to the API, the WebSocket to a gateway, and WORKER_CONNECT, which registers the worker there."""
