# SPDX-License-Identifier: Apache-2.0
"""Without descriptors left, accepting pauses: no crash, no busy loop, and it recovers."""
import os
import resource
import time

from harness.client import Client
from harness.config import everything_to
from harness.waits import wait_for

LIMIT = 200


def limited():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat') as text:
        fields = text.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def test_accepting_pauses_and_recovers(gateway, origin):
    gw = gateway(everything_to(origin()), limits=limited, conf={
        'nginx_main_worker_rlimit_nofile': str(LIMIT), 'nginx_events_worker_connections': '4096'})
    worker = gw.workers[0]
    held = []
    for _ in range(LIMIT + 100):
        held.append(Client(gw.proxy))
    wait_for(lambda: len(os.listdir(f'/proc/{worker}/fd')) > LIMIT * 3 // 4,
             'the descriptors to run out')

    began = cpu_seconds(worker)
    time.sleep(1)
    assert cpu_seconds(worker) - began < 0.5, 'a paused gateway must not spin'

    for c in held:
        c.close()
    wait_for(lambda: gw.get('/', timeout=3).status == 200, 'an answer after the connections ended')
    assert gw.workers == [worker]


def test_kept_connections_are_served_meanwhile(gateway, origin):
    gw = gateway(everything_to(origin()), limits=limited, conf={
        'nginx_main_worker_rlimit_nofile': str(LIMIT), 'nginx_events_worker_connections': '4096'})
    with gw.client() as early:
        assert early.get('/').status == 200
        held = [Client(gw.proxy) for _ in range(LIMIT + 50)]
        for _ in range(5):
            assert early.get('/').status == 200
        for c in held:
            c.close()


def test_the_limit_of_connections_holds(gateway, origin):
    gw = gateway(everything_to(origin()), conf={'nginx_events_worker_connections': '64'})
    held = [Client(gw.proxy) for _ in range(200)]
    for c in held:
        c.close()
    wait_for(lambda: gw.get('/', timeout=3).status == 200, 'an answer after the connections ended')


def test_nothing_leaks_over_many_connections(gateway, origin):
    gw = gateway(everything_to(origin()))
    assert gw.get('/').status == 200
    fds = f'/proc/{gw.workers[0]}/fd'
    before = len(os.listdir(fds))
    for _ in range(300):
        gw.get('/')
    for _ in range(50):
        c = gw.client()
        c.send(b'GET /x HTT')
        c.reset()
    for _ in range(30):
        gw.get_tls('/')
    wait_for(lambda: len(os.listdir(fds)) <= before + 4, 'the descriptors to be given back')
