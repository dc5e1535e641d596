# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to clients: the same road as HTTP/1.1, by streams."""
import os
import subprocess
import threading

import pytest

from harness import h2
from harness.client import ask, chunked
from harness.config import declarative, everything_to, route, service
from harness.h2 import H2
from harness.origin import ok
from harness.waits import wait_for

ASAN = 'asan' in os.environ.get('GIBBON', '')


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


def listening(gateway_of, config, **conf):
    gw = gateway_of(config, start=False, conf=conf)
    gw.write_conf(proxy_listen=f'127.0.0.1:{gw.proxy} http2, 127.0.0.1:{gw.proxy_tls} ssl http2')
    return gw.start()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return listening(module_gateway, everything_to(origin1))


def curl(*args, given=None):
    return subprocess.run(['curl', '-sk', '--max-time', '20', *args], input=given, capture_output=True, check=True).stdout


# ---- the road -------------------------------------------------------------------------------------

@pytest.mark.parametrize('tls', [False, True], ids=['clear', 'tls'])
def test_a_request_is_answered(gw, origin1, tls):
    origin1.on('/plain', ok(b'hello', headers=[('X-Case', 'Yes'), ('Connection', 'X-Hop'), ('X-Hop', '1')]))
    with H2(gw.proxy_tls if tls else gw.proxy, tls=tls) as c:
        for stream in (1, 3, 5):
            c.request(stream, path='/plain?x=1', more=[('x-mine', 'v')])
            status, fields, body, _ = c.answer(stream)
            assert (status, body) == (200, b'hello')
            assert fields['x-case'] == 'Yes' and fields['content-length'] == '5'
            assert fields['via'].startswith('gibbon/') and 'date' in fields
            assert 'connection' not in fields and 'x-hop' not in fields and 'keep-alive' not in fields
    seen = origin1.last()
    assert seen.line == 'GET /plain?x=1 HTTP/1.1'
    assert seen.get('x-mine') == 'v'
    assert seen.get('X-Forwarded-Proto') == ('https' if tls else 'http')
    assert seen.get('Host') == f'127.0.0.1:{origin1.port}'


def test_http_1_is_spoken_on_the_same_listeners(gw):
    assert ask(gw.proxy, '/one').status == 200
    assert gw.get_tls('/one').status == 200
    assert curl('--http1.1', '-o', '/dev/null', '-w', '%{http_version} %{http_code}',
                f'https://127.0.0.1:{gw.proxy_tls}/') == b'1.1 200'


def test_alpn_is_offered_only_where_the_listener_says_http2(gateway, origin1):
    gw = gateway(everything_to(origin1))
    assert curl('-o', '/dev/null', '-w', '%{http_version}', f'https://127.0.0.1:{gw.proxy_tls}/') == b'1.1'


def test_crumbs_of_a_cookie_are_one_field(gw, origin1):
    with H2(gw.proxy) as c:
        c.request(1, path='/cookies', more=[('cookie', 'a=1'), ('x-a', '1'), ('cookie', 'b=2'), ('cookie', 'c=3')])
        assert c.answer(1)[0] == 200
    assert origin1.last().all('cookie') == ['a=1; b=2; c=3']


def test_an_authority_is_the_host(gw, origin1):
    origin1.on('/h', ok(b''))
    with H2(gw.proxy) as c:
        c.send(h2.frame(h2.HEADERS, 5, 1, c.block([(':method', 'GET'), (':scheme', 'http'), (':path', '/h'),
                                                   ('host', 'only.example')])))
        assert c.answer(1)[0] == 200
        c.send(h2.frame(h2.HEADERS, 5, 3, c.block([(':method', 'GET'), (':scheme', 'http'), (':path', '/h'),
                                                   (':authority', 'a.example'), ('host', 'b.example')])))
        assert c.answer(3)[0] == 400
        c.send(h2.frame(h2.HEADERS, 5, 5, c.block([(':method', 'GET'), (':scheme', 'http'), (':path', '/h')])))
        f = c.until(lambda f: f.kind == h2.RST_STREAM)
        assert (f.stream, f.code) == (5, h2.PROTOCOL_ERROR)
    assert origin1.last().get('X-Forwarded-Host') == 'only.example'


@pytest.mark.parametrize('buffered', [True, False], ids=['buffered', 'streamed'])
@pytest.mark.parametrize('size', [0, 1, 1000, 100_000, 3_000_000])
@pytest.mark.parametrize('length', [True, False], ids=['length', 'end'])
def test_bodies_reach_the_service(module_gateway, origin1, size, length, buffered, gw_modes={}):
    if buffered not in gw_modes:
        gw_modes[buffered] = listening(module_gateway, declarative(service(
            origin1, route(paths=['/'], strip_path=False, request_buffering=buffered, response_buffering=buffered))))
    body = os.urandom(size)
    origin1.on('/up', lambda c, r: c.send(ok(r.body)))
    args = ['-H', 'Content-Length:'] if not length else []
    answer = curl('--http2-prior-knowledge', '-H', 'Expect:', *args, '-X', 'POST', '--data-binary', '@-',
                  f'http://127.0.0.1:{gw_modes[buffered].proxy}/up', given=body)
    assert answer == body
    seen = origin1.last()
    assert seen.body == body
    if not buffered and not length and size:
        assert seen.get('Transfer-Encoding') == 'chunked'
    elif size:
        assert seen.get('Content-Length') == str(size)


def test_answers_of_every_framing(gw, origin1):
    origin1.on('/chunked', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + chunked(b'ab', b'cd'))
    origin1.on('/close', b'HTTP/1.1 200 OK\r\n\r\nto the end', close=True)
    origin1.on('/none', b'HTTP/1.1 204 No Content\r\n\r\n')
    with H2(gw.proxy) as c:
        for stream, path, expected in ((1, '/chunked', b'abcd'), (3, '/close', b'to the end'), (5, '/none', b'')):
            c.request(stream, path=path)
            status, fields, body, _ = c.answer(stream)
            assert body == expected and 'transfer-encoding' not in fields
        c.request(7, 'HEAD', '/chunked')
        assert c.answer(7)[2] == b''


def test_trailers_follow_the_body(gw, origin1):
    origin1.on('/t', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
               chunked(b'x', trailers=[('X-Sum', 'abc'), ('Grpc-Status', '0')]))
    with H2(gw.proxy) as c:
        c.request(1, path='/t', more=[('te', 'trailers')])
        assert c.answer(1)[2:] == (b'x', {'x-sum': 'abc', 'grpc-status': '0'})
        c.request(3, path='/t')
        assert c.answer(3)[2:] == (b'x', {})


def test_100_continue_is_said(gw, origin1):
    with H2(gw.proxy) as c:
        c.request(1, 'POST', '/e', more=[('expect', '100-continue'), ('content-length', '3')], end=False)
        interim = c.until(lambda f: f.kind == h2.HEADERS)
        assert dict(interim.fields)[':status'] == '100'
        c.send(h2.frame(h2.DATA, h2.END_STREAM, 1, b'abc'))
        assert c.answer(1)[0] == 200
    assert origin1.last().body == b'abc' and not origin1.last().all('expect')


def test_local_answers(gateway, origin1):
    gw = listening(gateway, declarative(service(origin1, route(paths=['/known']))))
    with H2(gw.proxy) as c:
        c.request(1, path='/unknown')
        status, fields, body, _ = c.answer(1)
        assert status == 404 and body == b'{"message":"no Route matched with those values"}'
        assert fields['server'].startswith('gibbon/') and fields['content-length'] == str(len(body))
        c.request(3, path='/known', more=[('x-big', 'x' * 60_000)])
        assert c.answer(3)[0] == 494
        c.request(5, path='/known')
        assert c.answer(5)[0] == 200


def test_the_access_log_tells_the_version(gateway, origin1):
    gw = listening(gateway, everything_to(origin1),
                   nginx_http_log_format="""v '"$request" $server_protocol $http2 $status $body_bytes_sent'""",
                   proxy_access_log='logs/v.log v')
    origin1.on('/log', ok(b'hello'))
    with H2(gw.proxy) as c, H2(gw.proxy_tls, tls=True) as t:
        c.request(1, path='/log?a')
        assert c.answer(1)[0] == 200
        t.request(1, path='/log?b')
        assert t.answer(1)[0] == 200
    ask(gw.proxy, '/log?c')
    wait_for(lambda: gw.log('v.log').count('\n') == 3, 'the lines')
    assert gw.log('v.log').splitlines() == [
        '"GET /log?a HTTP/2.0" HTTP/2.0 h2c 200 5', '"GET /log?b HTTP/2.0" HTTP/2.0 h2 200 5',
        '"GET /log?c HTTP/1.1" HTTP/1.1 - 200 5']


# ---- streams beside each other --------------------------------------------------------------------

def test_a_slow_stream_does_not_hold_up_others(gw, origin1):
    hold = threading.Event()
    origin1.on('/slow', lambda c, r: (hold.wait(20), c.send(ok(b'slow'))))
    with H2(gw.proxy) as c:
        c.request(1, path='/slow')
        for stream in range(3, 41, 2):
            c.request(stream, path='/fast')
            assert c.answer(stream)[0] == 200
        hold.set()
        assert c.answer(1)[2] == b'slow'


def test_a_reader_that_stops_holds_up_its_stream_alone(gw, origin1):
    data = os.urandom(2_000_000)
    origin1.on('/big', lambda c, r: c.send(ok(data)))
    with H2(gw.proxy, settings=b'\0\x04' + (1000).to_bytes(4, 'big')) as c:  # windows of 1,000 bytes
        c.request(1, path='/big')
        c.until(lambda f: f.kind == h2.DATA)
        c.request(3, path='/small')
        assert c.answer(3)[0] == 200
        got = b''
        c.grant(1, 5_000_000)
        while len(got) < len(data) - 1000:
            f = c.until(lambda f: f.kind == h2.DATA and f.stream == 1)
            got += f.payload
        assert data.endswith(got[-1000:])


def test_a_writer_is_slowed_down_by_windows(gateway, origin1):
    """The origin does not read: so the client is granted no more than a window or two."""
    hold = threading.Event()
    slow = type(origin1)(body_first=False)
    slow.on('/stuck', lambda c, r: (hold.wait(30), c.send(ok(b''))))
    try:
        gw = listening(gateway, declarative(service(slow, route(paths=['/'], strip_path=False, request_buffering=False))))
        with H2(gw.proxy) as c:
            c.request(1, 'POST', '/stuck', end=False)
            sent_bytes, window = 0, 65535
            c.sock.settimeout(2)
            try:
                while sent_bytes < 64 << 20:
                    while window <= 0:
                        f = c.until(lambda f: f.kind == h2.WINDOW_UPDATE and f.stream == 1)
                        window += int.from_bytes(f.payload, 'big')
                    n = min(window, 16384)
                    c.send(h2.frame(h2.DATA, 0, 1, b'x' * n))
                    window, sent_bytes = window - n, sent_bytes + n
            except (h2.Missing, TimeoutError):
                pass
            assert sent_bytes < 32 << 20
            hold.set()
    finally:
        hold.set()
        slow.stop()


def test_a_reset_reaches_the_service(gw, origin1):
    closed = threading.Event()
    origin1.on('/wait', lambda c, r: c.wait_closed(20) and closed.set())
    with H2(gw.proxy) as c:
        seen = len(origin1.requests)
        c.request(1, path='/wait')
        wait_for(lambda: len(origin1.requests) > seen, 'the request')
        c.send(h2.frame(h2.RST_STREAM, 0, 1, (8).to_bytes(4, 'big')))
        assert closed.wait(10)
        c.request(3, path='/after')
        assert c.answer(3)[0] == 200


def test_an_answer_that_breaks_off_resets_the_stream_alone(gw, origin1):
    origin1.on('/half', b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', close=True)
    with H2(gw.proxy) as c:
        c.request(1, path='/half')
        f = c.until(lambda f: f.kind == h2.RST_STREAM)
        assert (f.stream, f.code) == (1, h2.INTERNAL_ERROR)
        c.request(3, path='/whole')
        assert c.answer(3)[0] == 200


def test_an_answer_before_the_body_is_over_ends_it(gw, origin1):
    """RFC 9113 §8.1: NO_ERROR tells the client to stop."""
    with H2(gw.proxy) as c:
        c.request(1, 'TRACE', '/', end=False)
        status, *_ = c.answer(1)
        assert status == 405
        f = c.until(lambda f: f.kind == h2.RST_STREAM)
        assert (f.stream, f.code) == (1, h2.NO_ERROR)


# ---- limits --------------------------------------------------------------------------------------

def test_more_streams_than_allowed_are_refused(gateway, origin1):
    hold = threading.Event()
    origin1.on('/hold', lambda c, r: (hold.wait(20), c.send(ok(b''))))
    gw = listening(gateway, everything_to(origin1), nginx_http_http2_max_concurrent_streams='3')
    with H2(gw.proxy) as c:  # its SETTINGS is not acknowledged: a client could not know yet
        for stream in (1, 3, 5, 7):
            c.request(stream, path='/hold')
        f = c.until(lambda f: f.kind == h2.RST_STREAM)
        assert (f.stream, f.code) == (7, h2.REFUSED_STREAM)
        hold.set()
        for stream in (1, 3, 5):
            assert c.answer(stream)[0] == 200


def calms_down(c, frames):
    """The connection ends while `frames` flood it."""
    def flood():
        try:
            for _ in range(3000):
                c.send(frames())
        except OSError:
            pass

    t = threading.Thread(target=flood)
    t.start()
    code = c.ending(20)
    t.join()
    return code


def test_floods_end_the_connection(gw, origin1):
    streams = iter(range(1, 1_000_000, 2))

    def reset_at_once():
        n = next(streams)
        return (h2.frame(h2.HEADERS, 5, n, c.block(c.fields(path='/flood'))) +
                h2.frame(h2.RST_STREAM, 0, n, (8).to_bytes(4, 'big'))) * 1

    floods = {
        'rapid reset': reset_at_once,
        'ping': lambda: h2.frame(h2.PING, 0, 0, b'12345678') * 10,
        'settings': lambda: h2.frame(h2.SETTINGS) * 10,
        'priority': lambda: h2.frame(h2.PRIORITY, 0, 1, b'\0\0\0\0\x10') * 10,
    }
    for name, frames in floods.items():
        with H2(gw.proxy) as c:
            code = calms_down(c, frames)
            assert code in (h2.ENHANCE_YOUR_CALM, h2.INTERNAL_ERROR, None), f'{name}: {code}'
    assert ask(gw.proxy, '/alive').status == 200


def test_a_flood_of_empty_data_ends_the_connection(gw, origin1):
    with H2(gw.proxy) as c:
        c.request(1, 'POST', '/empty', end=False)
        assert calms_down(c, lambda: h2.frame(h2.DATA, 0, 1) * 10) in (h2.ENHANCE_YOUR_CALM, None)


def test_a_flood_of_continuations_ends_the_connection(gw):
    with H2(gw.proxy) as c:
        c.send(h2.frame(h2.HEADERS, 0, 1, c.block(c.fields())))
        assert calms_down(c, lambda: h2.frame(h2.CONTINUATION, 0, 1, b'\x00\x01a\x01b') * 10) is not h2.NO_ERROR
    assert ask(gw.proxy, '/alive').status == 200


def test_a_header_bomb_is_refused_in_bounded_memory(gw):
    """A table entry of 4 KiB that is named 30,000 times."""
    with H2(gw.proxy) as c:
        block = c.block(c.fields()) + b'\x40\x01x' + b'\x7f\xa1\x1e' + b'y' * 4000
        c.send(h2.frame(h2.HEADERS, 0, 1, block) + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, b'\xbe' * 16000))
        try:
            assert c.answer(1)[0] == 494
        except h2.Closed:
            pass
    with open(f'/proc/{gw.workers[0]}/status') as text:
        rss = next(int(line.split()[1]) for line in text if line.startswith('VmRSS'))
    assert rss < (1_500_000 if ASAN else 120_000)


def test_a_head_that_never_ends_is_given_up(gateway, origin1):
    gw = listening(gateway, everything_to(origin1), nginx_http_client_header_timeout='1s')
    with H2(gw.proxy) as c:
        c.send(h2.frame(h2.HEADERS, 0, 1, c.block(c.fields())))
        c.ending()
    with H2(gw.proxy) as c:  # and one that says nothing
        assert c.ending() in (h2.NO_ERROR, None)


def test_who_does_not_read_is_given_up(gateway, origin1):
    origin1.on('/much', ok(b'x' * 300_000))
    gw = listening(gateway, everything_to(origin1), nginx_http_send_timeout='1s')
    with H2(gw.proxy, settings=b'\0\x04\0\0\0\0') as c:
        c.request(1, path='/much')
        f = c.until(lambda f: f.kind in (h2.RST_STREAM, h2.GOAWAY))
        assert f.kind == h2.RST_STREAM and f.stream == 1
        c.request(3, path='/nothing')
    with H2(gw.proxy, settings=b'\0\x04\0\0\0\0') as c:  # a small answer, whose fiber has gone
        origin1.on('/little', ok(b'y' * 100))
        c.request(1, path='/little')
        f = c.until(lambda f: f.kind == h2.RST_STREAM)
        assert (f.stream, f.code) == (1, h2.CANCEL)


# ---- the end of connections -----------------------------------------------------------------------

def test_idle_connections_are_said_goodbye(gateway, origin1):
    gw = listening(gateway, everything_to(origin1), nginx_http_keepalive_timeout='1s')
    with H2(gw.proxy) as c:
        c.request(1)
        assert c.answer(1)[0] == 200
        assert c.ending() == h2.NO_ERROR


def test_a_connection_serves_no_more_than_keepalive_requests(gateway, origin1):
    gw = listening(gateway, everything_to(origin1), nginx_http_keepalive_requests='3')
    with H2(gw.proxy) as c:
        for stream in (1, 3, 5):
            c.request(stream)
            assert c.answer(stream)[0] == 200
        assert c.ending() == h2.NO_ERROR


def test_a_reload_loses_no_stream(gateway, origin1):
    hold = threading.Event()
    origin1.on('/hold', lambda c, r: (hold.wait(20), c.send(ok(b'late'))))
    gw = listening(gateway, everything_to(origin1))
    with H2(gw.proxy) as busy, H2(gw.proxy) as idle:
        idle.request(1)
        assert idle.answer(1)[0] == 200
        seen = len(origin1.requests)
        busy.request(1, path='/hold')
        wait_for(lambda: len(origin1.requests) > seen, 'the request')
        gw.reload()
        f = busy.until(lambda f: f.kind == h2.GOAWAY)
        assert f.code == h2.NO_ERROR and int.from_bytes(f.payload[:4], 'big') == 0x7fffffff
        busy.request(3, path='/on-its-way')  # what crossed the GOAWAY is served
        assert busy.answer(3)[0] == 200
        hold.set()
        assert busy.answer(1)[2] == b'late'
        assert busy.ending() == h2.NO_ERROR
        assert idle.ending() == h2.NO_ERROR
    assert gw.get('/').status == 200


class Noting(H2):
    """Remembers whether it was told to go."""
    was_told = False

    def read(self):
        f = super().read()
        self.was_told |= f.kind == h2.GOAWAY and f.code == h2.NO_ERROR
        return f


def test_reloads_under_load_lose_nothing(gateway, origin1):
    gw = listening(gateway, everything_to(origin1), nginx_http_keepalive_requests='100000')
    errors, stop = [], threading.Event()

    def ask_on():
        while not stop.is_set():
            with Noting(gw.proxy) as c:
                for stream in range(1, 400, 2):
                    try:
                        c.request(stream)
                        assert c.answer(stream)[0] == 200
                    except (h2.Closed, OSError) as e:
                        if not c.was_told:  # then the next one goes over another connection
                            errors.append(repr(e))
                        break

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(3):
        seen = len(origin1.requests)
        wait_for(lambda: len(origin1.requests) > seen + 50, 'requests')
        gw.reload()
    stop.set()
    for t in threads:
        t.join()
    assert errors == []


# ---- real clients ----------------------------------------------------------------------------------

def test_curl_moves_megabytes_both_ways(gw, origin1, tmp_path):
    data = os.urandom(5 << 20)
    origin1.on('/both', lambda c, r: c.send(ok(r.body)))
    got = curl('--http2', '-X', 'POST', '-H', 'Expect:', '--data-binary', '@-', f'https://127.0.0.1:{gw.proxy_tls}/both', given=data)
    assert got == data


def test_h2load_finds_every_answer(gw):
    out = subprocess.run(['h2load', '-n', '900', '-c', '3', '-m', '50', f'https://127.0.0.1:{gw.proxy_tls}/load'],
                         capture_output=True, text=True, timeout=60, check=True).stdout
    assert '900 succeeded, 0 failed' in out
