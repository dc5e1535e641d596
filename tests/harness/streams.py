# SPDX-License-Identifier: Apache-2.0
"""streams - origins and configurations for TCP, TLS and UDP sessions.

    echo = TcpOrigin(handler)     handler(socket) on a thread for each connection
    udp = UdpOrigin(answer)       answer(bytes) -> a list of datagrams
    stream(origin, protocols=['tcp'], destinations=[{'port': 9}])   a service with one route
    NginxStream(folder, 'server { listen 127.0.0.1:{port}; return hello; }')   nginx as an origin
"""
import itertools
import os
import socket
import subprocess
import threading

from .ports import free_port
from .waits import patience, wait_for

_count = itertools.count(1)


def echo(sock):
    """Sends back what comes; at its end says bye and ends."""
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.sendall(b'bye')


class TcpOrigin:
    def __init__(self, handler=echo, tls=None):
        self.handler, self.tls = handler, tls
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.sockets, self.names = [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with sock:
                if self.tls:
                    sock = self.tls.wrap_socket(sock, server_side=True)
                    self.names.append(getattr(sock, 'asked_name', None))
                self.handler(sock)
                if not self.tls:
                    sock.shutdown(socket.SHUT_WR)
                else:
                    sock.unwrap()
        except OSError:
            pass

    def stop(self):
        # close() alone leaves accept() waiting
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            sock.close()


class UdpOrigin:
    """seen: (data, address) of each datagram."""

    def __init__(self, answer=lambda data: [data]):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(('127.0.0.1', 0))
        self.port, self.answer, self.seen = self.sock.getsockname()[1], answer, []
        self.is_over = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self.is_over:
            try:
                data, address = self.sock.recvfrom(65536)
                if self.is_over:
                    return
                self.seen.append((data, address))
                for piece in self.answer(data):
                    self.sock.sendto(piece, address)
            except OSError:
                return

    def stop(self):
        self.is_over = True
        self.sock.sendto(b'', ('127.0.0.1', self.port))


def stream(origin, protocol='tcp', service=None, host='127.0.0.1', name=None, **route):
    """A service that speaks `protocol` to the origin (or port), with one route."""
    name = name or f'stream{next(_count)}'
    if protocol == 'udp':  # a worker drains until its sessions were silent that long
        service = {'read_timeout': 1000, **(service or {})}
    port = origin if isinstance(origin, int) else origin.port
    return {'name': name, 'protocol': protocol, 'host': host, 'port': port,
            **(service or {}), 'routes': [{'name': name, **route}]}


def connect(port, host='127.0.0.1', timeout=20):
    sock = socket.create_connection((host, port), timeout)
    sock.settimeout(timeout)
    return sock


def read_all(sock):
    """Up to its end."""
    pieces = []
    while data := sock.recv(65536):
        pieces.append(data)
    return b''.join(pieces)


def udp_client(port, host='127.0.0.1', timeout=10):
    sock = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect((host, port))
    return sock


class NginxStream:
    """Debian's nginx with its stream module: servers is text for the stream block, in which
    {port} stands for its port."""

    def __init__(self, directory, servers):
        self.directory, self.port = str(directory), free_port()
        os.makedirs(self.directory)
        config = os.path.join(self.directory, 'nginx.conf')
        with open(config, 'w') as out:
            out.write(f'load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off; '
                      f'worker_processes 1; pid {self.directory}/nginx.pid; '
                      f'error_log {self.directory}/error.log; {"user root;" if os.getuid() == 0 else ""} '
                      f'events {{ }} stream {{ {servers.replace("{port}", str(self.port))} }}\n')
        self.process = subprocess.Popen(['/usr/sbin/nginx', '-p', self.directory, '-c', config],
                                        stderr=subprocess.DEVNULL)
        wait_for(lambda: connect(self.port).close() is None, 'nginx to listen')

    def stop(self):
        self.process.terminate()
        self.process.wait(patience(10))
