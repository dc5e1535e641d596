# SPDX-License-Identifier: Apache-2.0
"""A worker that dies is replaced within a second, on the same sockets."""
import os
import signal
import time

import pytest

from harness.config import everything_to
from harness.gateway import is_running
from harness.waits import patience, wait_for


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_worker_is_replaced(gateway, origin, number):
    gw = gateway(everything_to(origin()),  # a sanitizer shall not take the signal for a bug
                 env={'ASAN_OPTIONS': 'handle_segv=0:handle_abort=0:allow_user_segv_handler=1'})
    master, (worker,) = gw.master, gw.workers
    os.kill(worker, number)
    wait_for(lambda: not is_running(worker), 'the worker to end', every=0.002)
    began = time.monotonic()
    wait_for(lambda: gw.workers and gw.workers != [worker], 'a new worker', timeout=patience(5),
             every=0.005)
    answer = wait_for(lambda: gw.get('/', timeout=2), 'an answer of the new worker', timeout=5,
                      every=0.005)
    assert answer.status == 200
    assert time.monotonic() - began < patience(1.0)
    assert gw.master == master
    assert str(worker) in gw.log()


def test_connections_wait_while_the_worker_is_replaced(gateway, origin):
    """The supervisor holds the sockets: a client is queued, not refused."""
    gw = gateway(everything_to(origin()))
    os.kill(gw.workers[0], signal.SIGKILL)
    for _ in range(20):
        assert gw.get('/').status == 200


def test_again_and_again(gateway, origin):
    gw = gateway(everything_to(origin()))
    for _ in range(5):
        worker = wait_for(lambda: gw.workers, 'a worker')[0]
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: gw.workers and gw.workers != [worker], 'another worker')
        assert gw.get('/').status == 200


def test_the_configuration_survives(gateway, origin):
    gw = gateway(None)
    body = b'{"_format_version":"3.0","services":[{"name":"posted","url":"%s","routes":' \
           b'[{"name":"posted","paths":["/posted"]}]}]}' % origin().url.encode()
    assert gw.api('/config', 'POST', headers={'Content-Type': 'application/json'},
                  body=body).status == 201
    assert gw.get('/posted').status == 200
    os.kill(gw.workers[0], signal.SIGKILL)
    wait_for(lambda: gw.get('/posted', timeout=2).status == 200, 'the posted route to be back')


def test_a_worker_of_a_killed_supervisor_ends(gateway, origin):
    gw = gateway(everything_to(origin()))
    gw.may_complain = True
    worker = gw.workers[0]
    os.kill(gw.process.pid, signal.SIGKILL)
    gw.process.wait()
    try:
        wait_for(lambda: not is_running(worker), 'the worker to end')
    finally:
        if is_running(worker):
            os.kill(worker, signal.SIGKILL)
