"""A worker as a guest in a FastAPI app. Run it: `uvicorn web_app:app`, with INNGEST_DEV set; one SIGTERM or Ctrl-C ends both."""

import contextlib
from collections.abc import AsyncIterator

import hello
from fastapi import FastAPI, Response

from connect import connect


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with connect(hello.apps) as app.state.worker:  # waits until the worker takes work
        yield
    # here its work is done, and every reply delivered


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready() -> Response:
    return Response(status_code=200 if app.state.worker.is_ready else 503)
