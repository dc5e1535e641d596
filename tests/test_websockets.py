# SPDX-License-Identifier: Apache-2.0
"""WebSocket with real clients and servers (python3-websockets), through the proxy, plugins before it."""
import asyncio
import os
import ssl
import threading

import pytest
import websockets

from harness.config import declarative, route, service
from harness.ports import free_port
from harness.waits import wait_for


class EchoServer:
    def __init__(self):
        self.port, self.loop, self.seen = free_port(), asyncio.new_event_loop(), []
        self.ready, self.ended = threading.Event(), None
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),))
        self.thread.start()
        assert self.ready.wait(10)

    async def serve(self):
        self.ended = asyncio.Event()

        async def echo(socket):
            self.seen.append(socket.request_headers)
            async for message in socket:
                await socket.send(message)

        async with websockets.serve(echo, '127.0.0.1', self.port, max_size=8 << 20, subprotocols=['chat']):
            self.ready.set()
            await self.ended.wait()

    def stop(self):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()


@pytest.fixture
def echo():
    server = EchoServer()
    yield server
    server.stop()


def through(url, messages, **more):
    async def talk():
        async with websockets.connect(url, max_size=8 << 20, **more) as socket:
            got = []
            for m in messages:
                await socket.send(m)
                got.append(await socket.recv())
            await (await socket.ping())
            return socket.subprotocol, got

    return asyncio.run(asyncio.wait_for(talk(), 60))


def guarded(echo):
    return declarative(
        service(f'http://127.0.0.1:{echo.port}', route(paths=['/'], strip_path=False, name='ws')),
        plugins=[{'name': 'key-auth', 'route': 'ws'}],
        consumers=[{'username': 'al', 'keyauth_credentials': [{'key': 'open'}]}])


def test_messages_of_all_sizes_come_back_with_an_authenticated_consumer(gateway, echo):
    gw = gateway(guarded(echo))
    messages = ['', 'text', 'x' * 100_000, os.urandom(3 << 20), b'\0']
    subprotocol, got = through(f'ws://127.0.0.1:{gw.proxy}/chat', messages, subprotocols=['chat'],
                               extra_headers={'apikey': 'open'})
    assert subprotocol == 'chat' and got == messages
    assert echo.seen[0]['X-Consumer-Username'] == 'al'


def test_over_tls_and_several_at_once(gateway, echo):
    gw = gateway(guarded(echo))
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def one(n):
        async with websockets.connect(f'wss://127.0.0.1:{gw.proxy_tls}/', ssl=trusting,
                                      extra_headers={'apikey': 'open'}) as socket:
            for i in range(5):
                await socket.send(f'{n}.{i}')
                assert await socket.recv() == f'{n}.{i}'

    async def all_of_them():
        await asyncio.gather(*(one(n) for n in range(40)))

    asyncio.run(asyncio.wait_for(all_of_them(), 60))
    assert len(echo.seen) == 40


def test_who_is_not_let_in_gets_no_socket(gateway, echo):
    gw = gateway(guarded(echo))
    with pytest.raises(websockets.InvalidStatusCode) as refused:
        through(f'ws://127.0.0.1:{gw.proxy}/', [])
    assert refused.value.status_code == 401 and echo.seen == []


def test_the_servers_end_reaches_the_client(gateway, echo):
    gw = gateway(guarded(echo))
    closed = []

    async def wait_for_the_end():
        async with websockets.connect(f'ws://127.0.0.1:{gw.proxy}/', extra_headers={'apikey': 'open'}) as socket:
            await socket.send('x')
            await socket.recv()
            echo.loop.call_soon_threadsafe(echo.ended.set)
            try:
                await socket.recv()
            except websockets.ConnectionClosed as e:
                closed.append(e.rcvd.code)

    asyncio.run(asyncio.wait_for(wait_for_the_end(), 60))
    assert closed == [1001]  # going away, in the server's own words
    wait_for(lambda: not echo.thread.is_alive(), 'its end')
