# SPDX-License-Identifier: Apache-2.0
"""`gibbon reload` takes a new configuration when it is right, and keeps the old one otherwise."""
import threading

import pytest

from harness.client import Client, ask, request_bytes
from harness.config import declarative, everything_to, named, who
from harness.load import Load
from harness.origin import ok
from harness.ports import free_port
from harness.waits import wait_for


def test_nothing_is_lost_over_reloads_under_load(gateway, origin):
    o = origin()
    gw = gateway(everything_to(o), conf={'nginx_worker_processes': '2'})
    with Load(gw.proxy) as plain, Load(gw.proxy_tls, tls=True, kept=1, fresh=1) as tls:
        seen = set()
        for _ in range(5):
            seen.update(gw.workers)
            gw.reload()
            plain.flow()
            tls.flow(10)
    assert plain.failed == [] and tls.failed == []
    assert len(seen) >= 5, 'each reload should have made a new worker'
    wait_for(lambda: len(gw.workers) == 1, 'the old workers to end')


def test_the_new_configuration_is_used(gateway, origin):
    o = origin()
    gw = gateway(declarative(named(o, 'old', paths=['/'])))
    assert who(gw.get('/')) == 'old'
    for i in range(3):
        gw.write_config(declarative(named(o, f'new{i}', paths=['/'])))
        gw.reload()
        wait_for(lambda: who(gw.get('/')) == f'new{i}', 'the new configuration', timeout=1)


def test_a_request_in_flight_is_finished(gateway, origin):
    o = origin()
    go = threading.Event()
    o.on('/slow', lambda c, r: (go.wait(20), c.send(ok(b'done'))))
    gw = gateway(everything_to(o))
    with gw.client() as c:
        c.send(request_bytes('GET', '/slow'))
        o.wait_requests(1)
        old = gw.workers
        gw.reload()
        assert gw.get('/').status == 200
        assert set(old) <= set(gw.workers), 'the old worker must drain first'
        go.set()
        assert c.read_response().body == b'done'
    wait_for(lambda: not set(old) & set(gw.workers), 'the old worker to end')


def test_a_client_that_connected_before_may_still_ask(gateway, origin):
    gw = gateway(everything_to(origin()))
    with gw.client() as c:
        wait_for(lambda: gw.api('/status').json()['server']['connections_waiting'] >= 1, 'the client')
        gw.reload()
        wait_for(lambda: 'gracefully shutting down' in gw.log(), 'the old worker to drain')
        assert not c.is_closed(0.7)
        reply = c.get('/')
    assert (reply.status, reply.get('Connection')) == (200, 'close')


def test_a_download_in_flight_is_finished(gateway, origin):
    o = origin()
    data = bytes(range(256)) * 40000
    o.on('/big', lambda c, r: c.send(ok(data)))
    gw = gateway(everything_to(o))
    with gw.client() as c:
        c.send(request_bytes('GET', '/big'))
        head = c.read_head()
        gw.reload()
        assert c._exactly(int(head.get('Content-Length'))) == data


@pytest.mark.parametrize('bad,says', [
    ('_format_version: "3.0"\nservices:\n- name: s\n  url: nonsense\n', 'should start'),
    ('_format_version: "3.0"\nservices:\n- name: s\n  unknown_field: 1\n  host: h\n',
     'unknown_field'),
    ('_format_version: "3.0"\nroutes:\n- name: r\n  service: nowhere\n  paths: [/]\n', 'nowhere'),
    ('this: [is not: yaml\n', 'line'),
    ('', ''),
])
def test_a_bad_configuration_keeps_the_old(gateway, origin, bad, says):
    o = origin()
    gw = gateway(everything_to(o))
    old = gw.workers
    with Load(gw.proxy, kept=2, fresh=1) as load:
        gw.write_config(bad)
        done = gw.cli('reload')
        load.flow()
    assert done.returncode == 1
    assert says in done.stdout + done.stderr
    assert load.failed == []
    assert gw.workers == old
    assert gw.get('/').status == 200


def test_a_bad_property_keeps_the_old(gateway, origin):
    gw = gateway(everything_to(origin()))
    old = gw.workers
    gw.write_conf(log_level='loud')
    done = gw.cli('reload')
    assert done.returncode == 1
    assert 'log_level has an invalid value' in done.stdout + done.stderr
    assert gw.workers == old and gw.get('/').status == 200


def test_listeners_may_come_and_go(gateway, origin):
    gw = gateway(everything_to(origin()))
    more = free_port()
    before = gw.conf['proxy_listen']
    gw.write_conf(proxy_listen=f'{before}, 127.0.0.1:{more}')
    gw.reload()
    assert ask(more, '/').status == 200 and gw.get('/').status == 200
    gw.write_conf(proxy_listen=before)
    gw.reload()

    def refused():
        try:
            Client(more).close()
        except ConnectionRefusedError:
            return True
    wait_for(refused, 'the listener to be gone')
    assert gw.get('/').status == 200


def test_two_reloads_at_once(gateway, origin):
    gw = gateway(everything_to(origin()))
    with Load(gw.proxy, kept=2, fresh=1) as load:
        results = []
        threads = [threading.Thread(target=lambda: results.append(gw.cli('reload').returncode))
                   for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        load.flow()
    assert 0 in results
    assert load.failed == []
    wait_for(lambda: len(gw.workers) == 1, 'one worker to be left')
