# SPDX-License-Identifier: Apache-2.0
"""grpc_origin - a server of gRPC by Debian's python3-grpcio, without generated code.

Messages are bytes.  The methods of /test.Echo/ say in their names what they do; what the
server has seen of each call is in .calls.
"""
import threading
import time
from concurrent import futures

import grpc

from .waits import wait_for


class GrpcOrigin:
    def __init__(self, credentials=None, workers=64, options=(), streams=None):
        options = list(options)
        if streams is not None:
            options.append(('grpc.max_concurrent_streams', streams))
        self.calls, self.waiting, self.cancelled = [], [], []
        self.go_on = threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(workers), options=options,
                                  handlers=[Handler(self)])
        if credentials is None:
            self.port = self.server.add_insecure_port('127.0.0.1:0')
        else:
            self.port = self.server.add_secure_port('127.0.0.1:0', credentials)
        self.url = f'grpc{"s" if credentials else ""}://127.0.0.1:{self.port}'
        self.server.start()

    def stop(self, grace=None):
        self.go_on.set()
        self.server.stop(grace).wait()

    # ---- methods -----------------------------------------------------------------

    def unary(self, request, context):
        return request

    def meta(self, request, context):
        """Answers with what came as metadata, one line each; and has some of its own."""
        context.send_initial_metadata((('initial', 'here'),))
        context.set_trailing_metadata((('trailing', 'there'), ('bin-bin', b'\0\xff')))
        lines = [f'{k}: {v!r}' for k, v in context.invocation_metadata()]
        lines += [f'peer: {context.peer()}', f'left: {context.time_remaining()}']
        return '\n'.join(lines).encode()

    def fail(self, request, context):
        context.set_trailing_metadata((('why', 'asked'),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'no more: 100 % used, schön')

    def download(self, request, context):
        n, size = map(int, request.split())
        for i in range(n):
            yield bytes([i & 255]) * size

    def upload(self, requests, context):
        n = size = 0
        for one in requests:
            n, size = n + 1, size + len(one)
        return f'{n} {size}'.encode()

    def chat(self, requests, context):
        for one in requests:
            yield one

    def greet(self, requests, context):
        """Says something before it has heard anything."""
        yield b'hello'
        for one in requests:
            yield one

    def refuse(self, requests, context):
        """Ends the call in the middle of what it is told."""
        next(requests)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'enough')

    def wait(self, request, context):
        """Until it is told to go on, or the call is over."""
        over = threading.Event()
        self.waiting.append(request)
        if not context.add_callback(over.set):
            over.set()
        while not self.go_on.is_set() and not over.is_set():
            time.sleep(0.01)
        if over.is_set():
            self.cancelled.append(request)
        return request

    def wait_stream(self, request, context):
        yield b'begun'
        yield self.wait(request, context)


UNARY = {'Unary': 'unary', 'Meta': 'meta', 'Fail': 'fail', 'Wait': 'wait'}
DOWN = {'Download': 'download', 'WaitStream': 'wait_stream'}
UP = {'Upload': 'upload'}
BOTH = {'Chat': 'chat', 'Greet': 'greet', 'Refuse': 'refuse'}


class Handler(grpc.GenericRpcHandler):
    def __init__(self, origin):
        self.origin = origin

    def service(self, details):
        service, name = details.method.rsplit('/', 1)
        self.origin.calls.append((details.method, dict(details.invocation_metadata)))
        if service != '/test.Echo':
            return None
        for table, make in ((UNARY, grpc.unary_unary_rpc_method_handler),
                            (DOWN, grpc.unary_stream_rpc_method_handler),
                            (UP, grpc.stream_unary_rpc_method_handler),
                            (BOTH, grpc.stream_stream_rpc_method_handler)):
            if name in table:
                return make(getattr(self.origin, table[name]))
        return None


class GrpcClient:
    """Calls the methods by their names: client.Unary(b'x'), client.Chat(iterator)."""

    def __init__(self, port, credentials=None, options=()):
        options = [('grpc.enable_retries', 0), ('grpc.use_local_subchannel_pool', 1), *options]
        where = f'127.0.0.1:{port}'
        if credentials is None:
            self.channel = grpc.insecure_channel(where, options)
        else:
            self.channel = grpc.secure_channel(where, credentials, options)

    def __getattr__(self, name):
        return self.method(f'/test.Echo/{name}')

    def method(self, path):
        name = path.rsplit('/', 1)[1]
        kind = ('unary_stream' if name in DOWN else 'stream_unary' if name in UP else
                'stream_stream' if name in BOTH else 'unary_unary')
        return getattr(self.channel, kind)(path)

    def stop(self):
        self.channel.close()


def connections_to(port):
    """How many connections of TCP stand to a port of this machine."""
    n = 0
    with open('/proc/net/tcp') as text:
        for line in text.readlines()[1:]:
            fields = line.split()
            n += fields[2] == f'0100007F:{port:04X}' and fields[3] == '01'
    return n


def wait_for_connections(port, n):
    wait_for(lambda: connections_to(port) == n, f'{n} connections')
