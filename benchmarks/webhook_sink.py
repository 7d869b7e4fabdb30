"""A server that takes posts, as quickly as Python can: `python -m benchmarks.webhook_sink PORT COUNT ANSWER_MS`.

Prints its port, then, when COUNT requests were answered, how many seconds that took from the first one.
"""

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Connection(asyncio.Protocol):
    count, taken, first, answer_s = 0, 0, 0.0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._rest) < end + 4 + size:
                return
            self._rest = self._rest[end + 4 + size :]
            kind = type(self)
            kind.first = kind.first or time.perf_counter()
            if kind.answer_s:
                asyncio.get_running_loop().call_later(kind.answer_s, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        kind = type(self)
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.write(ANSWER)
        kind.taken += 1
        if kind.taken == kind.count:
            print(time.perf_counter() - kind.first, flush=True)


async def main(port: str, count: str, answer_ms: str) -> None:
    _Connection.count, _Connection.answer_s = int(count), float(answer_ms) / 1000
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", int(port))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
