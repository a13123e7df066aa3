"""A FastAPI application, served by uvicorn and requested on loopback; functions run in anyio's threads."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
import urllib.request
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from fastapi import Depends, FastAPI

RACY = "racy" in sys.argv
LOOP = "uvloop" if "uvloop" in sys.argv else "asyncio"
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or one thread of the pool may run all visits


class Counter:
    def __init__(self) -> None:
        self.visits = 0
        self.waited = 0


counter = Counter()
ready = {"state": "no"}


@asynccontextmanager
async def life(app: FastAPI):
    ready["state"] = await asyncio.to_thread(lambda: "yes")
    yield


app = FastAPI(lifespan=life)


def state() -> str:
    return ready["state"]


@app.get("/visit")
def visit(name: str, ready: str = Depends(state)) -> dict[str, str]:
    together.wait()
    with lock:
        counter.visits += 1
    return {"name": name, "ready": ready}


@app.get("/wait")
async def wait(name: str) -> dict[str, str]:
    await asyncio.sleep(0)
    counter.waited += 1  # only the loop's thread is here
    return {"name": await asyncio.to_thread(str.upper, name)}


def client(base: str, name: str) -> None:
    for path in ("visit", "wait") * 5:
        with urllib.request.urlopen(f"{base}/{path}?name={name}") as answer:
            assert name in answer.read().decode().lower()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", loop=LOOP))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    while not server.started:
        time.sleep(0.01)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    clients = [threading.Thread(target=client, args=(base, f"client{i}")) for i in range(3)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    server.should_exit = True
    serving.join()
    print("served" if RACY else (counter.visits, counter.waited))


main()
