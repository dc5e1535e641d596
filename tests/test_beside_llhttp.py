# SPDX-License-Identifier: Apache-2.0
"""The same bytes to Gibbon and to Node's parser: what both take ends at the same byte.

Streams are made from a grammar with mistakes in it, by a fixed seed; GIBBON_TEST_STREAMS says how
many.  Each holds a few requests behind each other, so that a different idea of where one ends shows
in the next.  Gibbon may refuse more than Node; it may never see another request.
"""
import base64
import json
import os
import random
import shutil
import subprocess
import threading

import pytest

from harness.client import Client
from harness.config import declarative, route, service

COUNT = int(os.environ.get('GIBBON_TEST_STREAMS', '1200'))
LANES = 4
HERE = os.path.dirname(os.path.abspath(__file__))
NODE = shutil.which('node')


class Maker:
    def __init__(self, seed):
        self.r, self.n = random.Random(seed), 0

    def rarely(self, normal, *others):
        return self.r.choice(others) if self.r.random() < 0.04 else normal

    def eol(self):
        return self.rarely('\r\n', '\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n')

    def size(self, n):
        text = self.r.choice(['%x', '%X', '0%x', '000%x']) % n
        return self.rarely(text, text + ' ', ' ' + text, '0x' + text, '+' + text, '-' + text, text + ';',
                           text + ';a', text + ' ;a=b', text + ';a="b"', text + ';a=\n', text + '\t', '',
                           text + '\0', 'g', 'f' * 16 + text, text + ';a\rb', '%x' % (n + 1),
                           '%x' % max(n - 1, 0))

    def chunked(self, body):
        out = ''
        while body:
            n = self.r.randint(1, len(body))
            out += self.size(n) + self.eol() + body[:n] + self.eol()
            body = body[n:]
        out += self.rarely('0', '00', '0;x', '0 ', '0\0', '', '0x0') + self.eol()
        if self.r.random() < 0.2:
            out += self.rarely('X-Trailer: y', 'Content-Length: 5', ' folded', 'Transfer-Encoding: x',
                               'no colon', 'X\0: y', 'X: \0') + self.eol()
        return out + self.rarely('\r\n', '\n', '\r', '')

    def field(self, name, value):
        return (self.rarely('', ' ', '\t') + self.rarely(name, name.upper(), name + ' ', name + '\t',
                                                         name + '\0', name.replace('-', '_'), '\x0b' + name)
                + self.rarely(': ', ':', ':\t', ' : ', ':\r\n ', ': \0', '', ': ,', ':\x0b')
                + self.rarely(value, value + ' ', value + ',', value + '\t', '"' + value + '"', value + '\0',
                              value + ', ' + value, value + '\r\n\t' + value, value + '\x7f', '+' + value)
                + self.eol())

    def body_text(self):
        words = ['a', 'hello', '0\r\n\r\n', f'GET /{self.n}.in HTTP/1.1\r\nHost: x\r\n\r\n', '5\r\nhello\r\n',
                 '\r\n', '\n', '0']
        return ''.join(self.r.choice(words) for _ in range(self.r.randint(0, 4)))

    def request(self, i):
        method = self.rarely(self.r.choice(['GET', 'POST', 'PUT', 'DELETE']), 'HEAD', 'OPTIONS', 'FOO',
                             'get', 'G\0T', '')
        line = (method + self.rarely(' ', '  ', '\t') + self.rarely(f'/{self.n}.{i}', f'/{self.n}.{i} x', f'/{self.n}.{i}\0', f'{i}')
                + self.rarely(' ', '  ', '\t', '')
                + self.rarely('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', ''))
        fields = [self.field('Host', 'x')]
        body = self.body_text()
        kind = self.r.choice(['none', 'length', 'chunked', 'length', 'chunked', 'both'])
        data = ''
        if kind in ('length', 'both'):
            n = self.rarely(len(body), len(body) + 1, max(len(body) - 1, 0), 0)
            fields.append(self.field('Content-Length', self.rarely(str(n), f'0{n}', f'{n}.0', f'0x{n}')))
            data = body
        if kind == 'chunked' or (kind == 'both' and self.r.random() < 0.3):
            fields.append(self.field('Transfer-Encoding', self.rarely(
                'chunked', 'Chunked', 'identity', 'gzip, chunked', 'chunked, gzip', 'xchunked', 'chunked;a=b')))
            data = self.chunked(body)
        if self.r.random() < 0.15:
            fields.append(self.field('Connection', self.r.choice(['close', 'keep-alive', 'Content-Length'])))
        self.r.shuffle(fields)
        return line + self.eol() + ''.join(fields) + self.rarely('\r\n', '\n', '\r', ' \r\n') + data

    def stream(self):
        """Its number is in the targets, so that the origin knows what is of which."""
        text = ''.join(self.request(i) for i in range(self.r.randint(1, 3)))
        self.n += 1
        return (text + f'GET /{self.n - 1}.last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').encode('latin-1')


def node_reads(streams):
    given = json.dumps([base64.b64encode(s).decode() for s in streams])
    done = subprocess.run([NODE, '--no-deprecation', os.path.join(HERE, 'harness', 'llhttp.js')],
                          input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [[(m, u, base64.b64decode(b)) for m, u, b in one] for one in json.loads(done.stdout)]


def send_all(port, streams):
    for stream in streams:
        with Client(port, timeout=0.1) as c:  # then it waits for bytes that do not come
            try:
                c.send(stream)
                c.read_to_end()
            except OSError:
                pass


@pytest.mark.skipif(NODE is None, reason='node is not installed: there is nothing to compare with')
def test_no_message_ends_elsewhere(module_gateway, module_origin):
    maker = Maker(20231124)
    streams = [maker.stream() for _ in range(COUNT)]
    origin = module_origin()
    gateway = module_gateway(declarative(service(origin, route(paths=['/'], strip_path=False))))
    threads = [threading.Thread(target=send_all, args=(gateway.proxy, streams[lane::LANES]))
               for lane in range(LANES)]
    for t in threads:
        t.start()
    node = node_reads(streams)
    for t in threads:
        t.join()
    gibbon = [[] for _ in streams]
    for r in origin.requests:
        gibbon[int(r.target[1:].split('.')[0])].append((r.method, r.target, r.body))
    both = whole = 0
    for i, stream in enumerate(streams):
        ours, theirs = gibbon[i], node[i]
        n = min(len(ours), len(theirs))
        assert ours[:n] == theirs[:n], (stream, ours, theirs)
        both += n
        whole += len(ours) == len(theirs)
    assert both > COUNT / 2, both
    print(f'{COUNT} streams, {both} requests that both took, {whole} streams alike to their end')
