# SPDX-License-Identifier: Apache-2.0
"""pg_fake - a PostgreSQL server that answers the SSL request and writes down the rest.

    with FakePostgres(b'N') as fake: ...     answers N and waits for more
    FakePostgres(b'S', tls=context)          then shakes hands and reads what follows
    FakePostgres(b'S', inject=b'...', tls=…) the bytes go out in clear behind the S
    FakePostgres(None)                       says nothing at all
    FakePostgres(b'', reply=[a, b])          answers what comes with a, then with b

Of each connection: clear (bytes that came unencrypted), secret (those inside of TLS).
"""
import socket
import ssl
import threading

from .waits import patience

SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])


class Heard:
    def __init__(self):
        self.clear, self.secret, self.is_tls, self.is_over = b'', b'', False, False


class FakePostgres:
    def __init__(self, answer, tls=None, inject=b'', reply=()):
        self.answer, self.tls, self.inject, self.reply = answer, tls, inject, reply
        self.heard = []
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            heard = Heard()
            self.heard.append(heard)
            threading.Thread(target=self._serve, args=(client, heard), daemon=True).start()

    def _serve(self, client, heard):
        client.settimeout(patience(10))
        try:
            while len(heard.clear) < 8:
                some = client.recv(8 - len(heard.clear))
                if not some:
                    return
                heard.clear += some
            if self.answer is not None:
                client.sendall(self.answer + self.inject)
            if self.tls is None or heard.clear != SSL_REQUEST:
                self._listen(client, heard, 'clear')
                return
            client = self.tls.wrap_socket(client, server_side=True)
            heard.is_tls = True
            self._listen(client, heard, 'secret')
        except (OSError, ssl.SSLError):
            pass
        finally:
            heard.is_over = True
            client.close()

    def _listen(self, client, heard, where):
        replies = list(self.reply)
        while True:
            some = client.recv(65536)
            if not some:
                return
            setattr(heard, where, getattr(heard, where) + some)
            if replies:
                client.sendall(replies.pop(0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
