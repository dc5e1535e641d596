# SPDX-License-Identifier: Apache-2.0
"""tls_middle - somebody between a PostgreSQL client and its server, with TLS to both."""
import socket
import ssl
import threading

from .pg_fake import SSL_REQUEST


class Middle:
    """from_client: what the client said inside of its TLS."""

    def __init__(self, server_port, context):
        self.server_port, self.context, self.from_client = server_port, context, b''
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(4)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._between, args=(client,), daemon=True).start()

    def _between(self, client):
        server = socket.create_connection(('127.0.0.1', self.server_port))
        try:
            assert client.recv(8) == SSL_REQUEST
            server.sendall(SSL_REQUEST)
            client.sendall(server.recv(1))
            believe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            believe.check_hostname, believe.verify_mode = False, ssl.CERT_NONE
            server = believe.wrap_socket(server)
            client = self.context.wrap_socket(client, server_side=True)
            back = threading.Thread(target=self._pump, args=(server, client, False), daemon=True)
            back.start()
            self._pump(client, server, True)
        except (OSError, AssertionError):
            client.close()
            server.close()

    def _pump(self, source, to, is_client):
        try:
            while True:
                some = source.recv(65536)
                if not some:
                    break
                if is_client:
                    self.from_client += some
                to.sendall(some)
        except OSError:
            pass
        for end in (source, to):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
