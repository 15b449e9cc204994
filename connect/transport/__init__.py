"""The network: HTTP requests to the API, the WebSocket to a gateway, and how a worker introduces itself over it."""
