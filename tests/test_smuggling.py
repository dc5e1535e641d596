# SPDX-License-Identifier: Apache-2.0
"""What is read in one way here is read in the same way behind us, or is not passed on."""
import os
import re

import pytest

from harness.client import BadResponse, Client, NoAnswer
from harness.config import declarative, route, service

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus', 'smuggling.txt')
ESCAPE = re.compile(r'\\(r|n|t|0|x[0-9a-f]{2})')
BYTES = {'r': '\r', 'n': '\n', 't': '\t', '0': '\0'}


def cases():
    name = verdict = None
    lines = []
    with open(CORPUS, encoding='latin-1') as text:
        for line in [*text.read().split('\n'), '== end: nothing']:
            if line.startswith('== '):
                if name:
                    yield name, verdict, bytes_of(lines)
                name, verdict = line[3:].rsplit(': ', 1)
                lines = []
            elif not line.startswith('# '):
                lines.append(line)


def bytes_of(lines):
    """The lines, without the empty one that parts them from the next case."""
    text = ''
    for line in lines[:-1]:
        goes_on = line.endswith('\\') and not line.endswith('\\\\')
        text += line[:-1] if goes_on else line + '\r\n'
    return ESCAPE.sub(lambda m: BYTES.get(m[1]) or chr(int(m[1][1:], 16)), text).encode('latin-1')


CASES = list(cases())


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    """Bodies are taken in first for host x; streamed on the second listener's routes."""
    return module_gateway(declarative(service(origin1, route(paths=['/'], strip_path=False))))


@pytest.fixture(scope='module')
def streaming(module_gateway, origin1):
    return module_gateway(declarative(service(origin1, route(
        paths=['/'], strip_path=False, request_buffering=False, response_buffering=False))))


def answers(port, data, pieces):
    """Statuses that come back until the gateway is silent or has ended the connection."""
    statuses = []
    with Client(port, timeout=2) as c:
        try:
            step = len(data) // pieces + 1
            for at in range(0, len(data), step):
                c.send(data[at:at + step])
            while True:
                statuses.append(c.read_response().status)
        except (NoAnswer, ConnectionError):
            return statuses, True
        except TimeoutError:
            return statuses, False


def judge(verdict, statuses, is_closed, seen):
    if verdict == 'nothing':
        assert seen == []
        assert len(statuses) == 1 and 400 <= statuses[0] <= 505, statuses
        assert is_closed
        return
    assert [f'{r.method} {r.target} {len(r.body)}' for r in seen] == verdict.split(', ')
    assert statuses == [200] * len(seen)
    for r in seen:
        lengths = len(r.all('Content-Length')) + len(r.all('Transfer-Encoding'))
        assert lengths == (1 if r.body else lengths) <= 1, r
        assert len(r.all('Host')) == 1


@pytest.mark.parametrize('pieces', [1, 3])
@pytest.mark.parametrize('name,verdict,data', CASES, ids=[c[0] for c in CASES])
def test_what_the_origin_sees(gw, origin1, name, verdict, data, pieces):
    if verdict != 'nothing':  # so that the end is not waited for
        data += b'BYE\r\n\r\n'
    before = len(origin1.requests)
    statuses, is_closed = answers(gw.proxy, data, pieces)
    if verdict != 'nothing' and statuses and statuses[-1] == 400:
        statuses.pop()
    judge(verdict, statuses, is_closed, origin1.requests[before:])


@pytest.mark.parametrize('name,verdict,data', CASES, ids=[c[0] for c in CASES])
def test_what_the_origin_sees_of_streamed_bodies(streaming, origin1, name, verdict, data):
    """A body that proves bad on its way leaves a request that is not whole."""
    if verdict != 'nothing':
        data += b'BYE\r\n\r\n'
    before = len(origin1.requests)
    statuses, is_closed = answers(streaming.proxy, data, 1)
    if verdict != 'nothing' and statuses and statuses[-1] == 400:
        statuses.pop()
    judge(verdict, statuses, is_closed, origin1.requests[before:])


def test_the_corpus_is_read_as_it_is_meant():
    assert len(CASES) > 100
    assert len({c[0] for c in CASES}) == len(CASES)
    named = {name: data for name, _, data in CASES}
    assert named['CL.TE'].endswith(b'\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n')
    assert named['a NUL'].endswith(b'Content-Length: 5\0\r\n\r\nhello')


@pytest.mark.parametrize('field', ['Content-Length', 'Transfer-Encoding', 'Host', 'Connection'])
def test_a_stranger_cannot_put_lines_into_the_upstream_s_head(gw, origin1, field):
    """By what is decoded from the target, or taken into X-Forwarded-*."""
    before = len(origin1.requests)
    target = f'/a%0d%0a{field}:%20x?b=%0d%0a{field}:%20x'
    assert gw.get(target, headers=[('X-Forwarded-For', '1.1.1.1')]).status == 200
    seen = origin1.requests[before]
    assert len(origin1.requests) == before + 1
    assert seen.target == f'/a%0D%0A{field}:%20x?b=%0d%0a{field}:%20x'
    assert len(seen.all('Content-Length') + seen.all('Transfer-Encoding')) == 0


def test_two_answers_at_once_never_reach_two_clients(gw, origin1):
    """A desynchronised origin: what it sent unasked is dropped with its connection."""
    origin1.on('/two', b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n'
                       b'Content-Length: 6\r\n\r\npoison')
    with gw.client() as c:
        for _ in range(5):
            assert c.get('/two').body == b'a'
            assert c.get('/fine').json()['target'] == '/fine'


def test_a_response_with_two_meanings_is_a_502(gw, origin1):
    for head in (b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
                 b'Content-Length: 5\r\nContent-Length: 6\r\n', b'Transfer-Encoding: xchunked\r\n',
                 b'Transfer-Encoding: chunked, chunked\r\n', b'Content-Length: 5\r\n X: y\r\n',
                 b'Content-Length : 5\r\n', b'X: a\nContent-Length: 5\r\n'):
        origin1.on('/mean', b'HTTP/1.1 200 OK\r\n' + head + b'\r\n0\r\n\r\nhello', close=True)
        try:
            status = gw.get('/mean').status
        except BadResponse as error:
            raise AssertionError(head) from error
        assert status == 502, head
