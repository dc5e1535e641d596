# SPDX-License-Identifier: Apache-2.0
"""Signals mean what they mean to Kong's nginx."""
import os
import signal
import threading
import time

import pytest

from harness.client import BadResponse, Client, request_bytes
from harness.config import declarative, everything_to, named, who
from harness.gateway import is_running
from harness.origin import ok
from harness.waits import patience, wait_for


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_each_ends_an_idle_gateway_in_order(gateway, origin, number):
    gw = gateway(everything_to(origin()))
    assert gw.get('/').status == 200
    pids = [gw.process.pid, *gw.workers]
    pid_file = os.path.join(gw.prefix, 'pids', 'nginx.pid')
    gw.stop(number)
    assert [p for p in pids if is_running(p)] == []
    assert not os.path.exists(pid_file)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_term_does_not_wait_for_requests(gateway, origin, number):
    o = origin()
    o.on('/slow', lambda c, r: c.wait_closed(20))
    gw = gateway(everything_to(o))
    with gw.client() as c:
        c.send(request_bytes('GET', '/slow'))
        o.wait_requests(1)
        began = time.monotonic()
        gw.stop(number)
        assert time.monotonic() - began < patience(5)


def test_quit_waits_for_requests(gateway, origin):
    o = origin()
    go = threading.Event()
    o.on('/slow', lambda c, r: (go.wait(patience(30)), c.send(ok(b'done'))))
    gw = gateway(everything_to(o))
    with gw.client() as c:
        c.send(request_bytes('GET', '/slow'))
        o.wait_requests(1)
        gw.send_signal(signal.SIGQUIT)

        def refused():
            try:
                Client(gw.proxy).close()
            except ConnectionRefusedError:
                return True
        wait_for(refused, 'the listener to close')
        assert gw.process.poll() is None
        go.set()
        assert c.read_response().body == b'done'
    assert gw.process.wait(patience(10)) == 0


def test_quit_ends_idle_connections(gateway, origin):
    gw = gateway(everything_to(origin()))
    with gw.client() as c:
        assert c.get('/').status == 200
        gw.send_signal(signal.SIGQUIT)
        assert c.is_closed()


def test_hup_reloads_what_reload_prepared(gateway, origin):
    o = origin()
    gw = gateway(declarative(named(o, 'old', paths=['/'])))
    old = gw.workers
    gw.write_config(declarative(named(o, 'new', paths=['/'])))
    gw.send_signal(signal.SIGHUP)
    wait_for(lambda: who(gw.get('/')) == 'new', 'the new configuration')
    wait_for(lambda: not set(old) & set(gw.workers), 'the old worker to end')


def test_hup_with_a_bad_configuration_keeps_the_old(gateway, origin):
    gw = gateway(declarative(named(origin(), 'old', paths=['/'])))
    old = gw.workers
    gw.write_config('_format_version: "3.0"\nservices: [{name: x, nonsense: 1}]')
    gw.send_signal(signal.SIGHUP)
    wait_for(lambda: 'nonsense' in gw.log() + gw.output, 'the reason in the log')
    assert who(gw.get('/')) == 'old'
    wait_for(lambda: gw.workers == old, 'the failed worker to be gone')


def test_usr1_opens_the_logs_anew(gateway, origin):
    gw = gateway(everything_to(origin()))
    logs = os.path.join(gw.prefix, 'logs')
    assert gw.get('/before').status == 200
    wait_for(lambda: '/before' in gw.log('access.log'), 'the line')
    for name in ('access.log', 'error.log'):
        os.rename(os.path.join(logs, name), os.path.join(logs, name + '.1'))
    gw.send_signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(os.path.join(logs, 'access.log'))
             and os.path.exists(os.path.join(logs, 'error.log')), 'new logs')
    assert gw.get('/after').status == 200
    wait_for(lambda: '/after' in gw.log('access.log'), 'the line in the new log')
    assert '/after' not in gw.log('access.log.1')


def test_term_during_a_reload(gateway, origin):
    gw = gateway(everything_to(origin()))
    gw.send_signal(signal.SIGHUP)
    gw.stop(signal.SIGTERM)


def test_a_client_cut_by_term_sees_no_whole_answer(gateway, origin):
    o = origin()
    o.on('/half', lambda c, r: (c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'),
                                c.wait_closed(20)))
    gw = gateway(everything_to(o))
    with gw.client() as c:
        c.send(request_bytes('GET', '/half'))
        o.wait_requests(1)
        gw.stop(signal.SIGTERM)
        with pytest.raises(BadResponse):
            c.read_response()
