# SPDX-License-Identifier: Apache-2.0
"""TLS through stream_listen: it ends here, or only passes, or begins here towards the service."""
import json
import os
import socket
import ssl
import subprocess

import pytest

from harness.client import unverified
from harness.config import declarative
from harness.ports import free_port
from harness.postgres import Postgres
from harness.streams import NginxStream, TcpOrigin, connect, echo, read_all, stream
from harness.waits import patience, wait_for

LOG = {'proxy_stream_access_log': 'logs/stream.log basic'}


@pytest.fixture
def origin():
    made = []

    def make(*args, **more):
        made.append(TcpOrigin(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def says(text):
    return lambda s: (s.recv(100), s.sendall(text))


def ask(port, name, context=None, data=b'hello'):
    with (context or unverified()).wrap_socket(connect(port), server_hostname=name) as s:
        s.sendall(data)
        got = s.recv(1000)
        return got, s.getpeercert(True)


def test_tls_ends_here_with_the_certificate_of_the_name(gateway, origin, certs):
    port = free_port()
    a, any_b = certs.make('a.test', ['a.test']), certs.make('b', ['*.b.test'])
    gw = gateway(declarative(
        stream(origin(says(b'from a')), protocols=['tls'], snis=['a.test']),
        stream(origin(says(b'from b')), protocols=['tls'], snis=['x.b.test']),
        stream(origin(says(b'from anywhere')), protocols=['tls'], destinations=[{'port': port}]),
        certificates=[{'cert': a.cert, 'key': a.key, 'snis': [{'name': 'a.test'}]},
                      {'cert': any_b.cert, 'key': any_b.key, 'snis': [{'name': '*.b.test'}]}]),
        conf={'stream_listen': f'127.0.0.1:{port} ssl', **LOG})
    assert ask(port, 'A.test', a.client_context())[0] == b'from a'
    assert ask(port, 'x.b.test', any_b.client_context())[0] == b'from b'
    assert ask(port, 'other.test')[0] == b'from anywhere'
    assert ask(port, None)[0] == b'from anywhere'
    s_client = subprocess.run(
        ['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-servername', 'a.test', '-quiet',
         '-CAfile', a.cert_path, '-verify_return_error'],
        input=b'hello\n', capture_output=True, timeout=patience(20))
    assert b'from a' in s_client.stdout, s_client.stderr
    # nobody but TLS gets in
    with connect(port) as c:
        c.sendall(b'GET / HTTP/1.1\r\n\r\n')
        with pytest.raises(OSError):
            read_all(c)
            raise ConnectionResetError  # an alert or a reset
    wait_for(lambda: ' TCP 500 ' in gw.log('stream.log'), 'the failure in the log')


def test_passed_tls_is_the_services_own(gateway, origin, certs):
    port = free_port()
    one, two = certs.make('one.test', ['one.test']), certs.make('two.test', ['two.test'])
    gw = gateway(declarative(
        stream(origin(says(b'one'), tls=one.server_context()), protocols=['tls_passthrough'],
               snis=['one.test']),
        stream(origin(says(b'two'), tls=two.server_context()), protocols=['tls_passthrough'],
               snis=['two.test']),
        stream(origin(says(b'three')), protocols=['tls'], snis=['three.test'])),
        conf={'stream_listen': f'127.0.0.1:{port} ssl', **LOG})
    assert ask(port, 'one.test', one.client_context())[0] == b'one'
    assert ask(port, 'two.test', two.client_context())[0] == b'two'
    assert ask(port, 'three.test')[0] == b'three'
    with pytest.raises(OSError):
        ask(port, 'four.test')
    wait_for(lambda: ' TCP 500 0 0 ' in gw.log('stream.log'), 'the refusal in the log')
    assert 'server name: "four.test"' in gw.log()


def test_a_name_in_pieces_is_waited_for(gateway, origin, certs):
    port = free_port()
    pair = certs.make('one.test', ['one.test'])
    gateway(declarative(stream(origin(says(b'one'), tls=pair.server_context()),
                               protocols=['tls_passthrough'], snis=['one.test'])),
            conf={'stream_listen': f'127.0.0.1:{port} ssl'})
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pair.client_context().wrap_bio(incoming, outgoing, server_hostname='one.test')
    with connect(port) as c:
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def step(what):
            while True:
                try:
                    result = what()
                except ssl.SSLWantReadError:
                    result = None
                for byte in outgoing.read():
                    c.sendall(bytes([byte]))
                if result is not None:
                    return result
                incoming.write(c.recv(65536))
        step(lambda: tls.do_handshake() or True)
        step(lambda: tls.write(b'hello'))
        assert step(lambda: tls.read(100)) == b'one'


def test_a_tcp_route_does_not_take_tls(gateway, origin):
    port = free_port()
    gw = gateway(declarative(stream(origin(), protocols=['tcp'], destinations=[{'port': port}])),
                 conf={'stream_listen': f'127.0.0.1:{port} ssl', **LOG})
    with pytest.raises(OSError):
        ask(port, None)
    wait_for(lambda: ' TCP 500 0 0 ' in gw.log('stream.log'), 'the refusal in the log')
    assert 'unexpected protocols in matched Route' in gw.log()


def test_silence_before_the_first_byte_ends_the_session(gateway, origin):
    port = free_port()
    gw = gateway(declarative(stream(origin(), protocols=['tls'], destinations=[{'port': port}])),
                 conf={'stream_listen': f'127.0.0.1:{port} ssl', 'nginx_sproxy_preread_timeout': '200ms',
                       **LOG})
    with connect(port) as c:
        assert read_all(c) == b''
    wait_for(lambda: ' TCP 200 0 0 ' in gw.log('stream.log'), 'the log line')


def test_tls_to_the_service(gateway, origin, certs):
    plain, ports = free_port(), [free_port() for _ in range(3)]
    ca, wrong = certs.authority('ca'), certs.authority('wrong')
    server = certs.make('localhost', ['localhost'], by=ca)
    mine = certs.make('gateway', ['gateway'], by=ca)
    services = {}
    for port, more in zip(ports, ({}, {'tls_verify': True, 'ca_certificates': ['WRONG']},
                                  {'tls_verify': True, 'ca_certificates': ['CA'],
                                   'client_certificate': {'id': '3f4bd3a5-1a4c-4e0a-9f10-ca7a6d7ab8f1'}})):
        context = server.server_context(ca if 'client_certificate' in more else None)
        services[port] = origin(says(b'secret'), tls=context), more
    ids = {'CA': '3f4bd3a5-1a4c-4e0a-9f10-ca7a6d7ab8f2', 'WRONG': '3f4bd3a5-1a4c-4e0a-9f10-ca7a6d7ab8f3'}
    gw = gateway(declarative(
        *(stream(where, protocol='tls', host='localhost', protocols=['tcp'],
                 destinations=[{'port': port}],
                 service={**more, 'retries': 0,
                          **({'ca_certificates': [ids[c] for c in more['ca_certificates']]}
                             if 'ca_certificates' in more else {})})
          for port, (where, more) in services.items()),
        certificates=[{'id': '3f4bd3a5-1a4c-4e0a-9f10-ca7a6d7ab8f1', 'cert': mine.cert, 'key': mine.key}],
        ca_certificates=[{'id': ids['CA'], 'cert': ca.cert}, {'id': ids['WRONG'], 'cert': wrong.cert}]),
        conf={'stream_listen': ', '.join(f'127.0.0.1:{p}' for p in [plain, *ports]), **LOG})
    answers = []
    for port in ports:
        with connect(port) as c:
            c.sendall(b'x')
            try:
                answers.append(read_all(c))
            except ConnectionResetError:
                answers.append(b'')
    assert answers == [b'secret', b'', b'secret']
    assert services[ports[0]][0].names == ['localhost']
    wait_for(lambda: ' TCP 502 ' in gw.log('stream.log'), 'the refusal in the log')
    assert 'certificate verify error' in gw.log()


def test_half_closes_and_bulk_over_tls(gateway, origin):
    port = free_port()
    data = bytes(range(256)) * 8192

    def whole(sock):
        got = 0
        while got < len(data):
            got += len(sock.recv(65536))
        sock.sendall(data)
    gateway(declarative(stream(origin(whole), protocols=['tls'], destinations=[{'port': port}])),
            conf={'stream_listen': f'127.0.0.1:{port} ssl'})
    with unverified().wrap_socket(connect(port)) as s:
        s.sendall(data)
        got = b''
        while piece := s.recv(65536):
            got += piece
        assert got == data


def test_echo_stays_echo(gateway, origin):
    port = free_port()
    gateway(declarative(stream(origin(echo), protocols=['tls'], destinations=[{'port': port}])),
            conf={'stream_listen': f'127.0.0.1:{port} ssl'})
    with unverified().wrap_socket(connect(port)) as s:
        for i in range(200):  # parked and woken in between
            s.sendall(b'%d' % i)
            assert s.recv(100) == b'%d' % i


def test_the_end_is_told_however_full_the_way_is(gateway, origin):
    """A client that reads slowly gets everything, and then TLS's own goodbye."""
    port = free_port()
    data = os.urandom(1 << 20) * 8
    gateway(declarative(stream(origin(lambda s: s.sendall(data)), protocols=['tls'],
                               destinations=[{'port': port}])),
            conf={'stream_listen': f'127.0.0.1:{port} ssl'})
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(20)
    sock.connect(('127.0.0.1', port))
    with unverified().wrap_socket(sock, suppress_ragged_eofs=False) as s:
        got = bytearray()
        while piece := s.recv(16384):  # an end without the goodbye raises
            got += piece
        assert got == data


def test_postgresql_asks_for_tls_in_its_own_way(gateway, certs):
    """Its first bytes are no ClientHello: over plain TCP they pass, and TLS is between the two."""
    port = free_port()
    pair = certs.make('localhost', ['localhost', '127.0.0.1'])
    server = Postgres().start()
    try:
        server.configure(ssl='on', ssl_cert_file=server.take(pair.cert_path, 'server.crt'),
                         ssl_key_file=server.take(pair.key_path, 'server.key'))
        gateway(declarative(stream(server.port, protocols=['tcp'], destinations=[{'port': port}])),
                conf={'stream_listen': f'127.0.0.1:{port}'})
        done = subprocess.run(
            ['psql', '-qAtX', f'host=127.0.0.1 port={port} sslmode=verify-full sslrootcert={pair.cert_path} '
                              f'user=postgres', '-c', 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'],
            capture_output=True, text=True, timeout=patience(20))
        assert done.stdout == 't\n', done.stderr
    finally:
        server.end()


def test_nginx_is_told_who_it_is_before_tls_begins(gateway, certs, tmp_path):
    """PROXY protocol, then TLS, as nginx reads them; and what is logged of TLS."""
    port, out = free_port(), tmp_path / 'sessions.log'
    pair = certs.make('localhost', ['localhost'])
    there = NginxStream(tmp_path / 'nginx', f"""server {{
        listen 127.0.0.1:{{port}} ssl proxy_protocol;
        ssl_certificate {pair.cert_path}; ssl_certificate_key {pair.key_path};
        return "$proxy_protocol_addr:$proxy_protocol_port $ssl_server_name"; }}""")
    try:
        gateway(declarative(
            stream(there, protocol='tls', host='localhost', protocols=['tls'], destinations=[{'port': port}]),
            plugins=[{'name': 'file-log', 'protocols': ['tls'], 'config': {'path': str(out)}}]),
            conf={'stream_listen': f'127.0.0.1:{port} ssl', 'nginx_sproxy_proxy_protocol': 'on'})
        with unverified().wrap_socket(connect(port), server_hostname='any.test') as s:
            me, cipher = s.getsockname(), s.cipher()[0]
            assert s.recv(100).decode() == f'{me[0]}:{me[1]} localhost'
        tls = json.loads(wait_for(out.read_text, 'the entry'))['session']['tls']
        assert tls == {'version': 'TLSv1.3', 'cipher': cipher, 'client_verify': 'NONE'}
    finally:
        there.stop()
