import asyncio
import threading


class Cache:
    def __init__(self):
        self._lock = threading.Lock()
        self._gate = asyncio.Lock()

    async def refresh(self, fetch):
        with self._lock:  # want "held over an await"
            self.value = await fetch()

    async def stream(self, source):
        with self._lock:  # want
            async for item in source:
                self.value = item

    async def fine(self, fetch):
        value = await fetch()
        with self._lock:
            self.value = value

    async def gated(self, fetch):
        async with self._gate:
            self.value = await fetch()

    async def inner(self, fetch):
        with self._lock:

            async def later():
                await fetch()

            self.later = later


class AsyncCooperativeLock:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Pool:
    def __init__(self):
        self.lock = AsyncCooperativeLock()

    async def take(self, cond):
        with self.lock:
            await cond.wait()
