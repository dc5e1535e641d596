# SPDX-License-Identifier: Apache-2.0
"""SQLite and the worst: killed in the middle of writes, nothing accepted is lost."""
import json
import os
import signal
import sqlite3
import threading
import time

from harness.client import BadResponse, ask
from harness.gateway import children
from harness.waits import wait_for

HEADERS = [('Content-Type', 'application/json')]


def write_until_it_dies(gw, who, accepted, stop):
    """Services with a route each; those that were answered 201 are noted."""
    i = 0
    while not stop.is_set():
        name = f'{who}-{i}'
        try:
            for path, body in (('/services', {'name': name, 'host': 'h.test'}),
                               (f'/services/{name}/routes', {'name': name, 'paths': ['/' + name]})):
                answer = ask(gw.admin, path, 'POST', HEADERS, json.dumps(body).encode())
                assert answer.status == 201, answer
                accepted.append((path.split('/')[-1], name))
            i += 1
        except (OSError, BadResponse):
            time.sleep(0.05)
            i += 1


def kill_worker(gw):
    worker = gw.workers[0]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: gw.workers and gw.workers[0] != worker, 'a new worker', 5)


def kill_all(gw):
    pids = [gw.process.pid, *children(gw.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gw.process.wait()
    gw.process = None
    for pid in pids[1:]:
        wait_for(lambda pid=pid: not os.path.exists(f'/proc/{pid}'), 'the worker to be gone', 5)
    gw.start()


def run(gateway, kill):
    gw = gateway(conf={'database': 'sqlite'})
    gw.may_complain = True
    accepted, stop = [], threading.Event()
    writers = [threading.Thread(target=write_until_it_dies, args=(gw, f'w{n}', accepted, stop))
               for n in range(3)]
    for w in writers:
        w.start()
    try:
        for _ in range(5):
            before = len(accepted)
            wait_for(lambda before=before: len(accepted) > before + 20, 'writes', 10)
            kill(gw)
            wait_for(gw.is_ready, 'the gateway', 10)
    finally:
        stop.set()
        for w in writers:
            w.join()
    for kind in ('services', 'routes'):
        kept, path = set(), f'/{kind}?size=1000'
        while path:
            page = gw.api(path).json()
            kept |= {e['name'] for e in page['data']}
            path = page['next']
        lost = {n for k, n in accepted if k == kind} - kept
        assert not lost, f'{len(lost)} {kind} lost'
    db = sqlite3.connect(os.path.join(gw.prefix, 'gibbon.db'))
    assert db.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    assert db.execute('PRAGMA foreign_key_check').fetchall() == []


def test_a_worker_killed_while_it_writes_loses_nothing(gateway):
    run(gateway, kill_worker)


def test_a_gateway_killed_while_it_writes_loses_nothing(gateway):
    run(gateway, kill_all)


def test_a_file_that_is_no_database_is_named(gateway):
    gw = gateway(conf={'database': 'sqlite'}, start=False)
    with open(os.path.join(gw.prefix, 'gibbon.db'), 'w') as out:
        out.write('this is no database ' * 100)
    done = gw.cli('start')
    assert done.returncode == 1
    assert 'gibbon.db' in done.stdout + done.stderr
    assert 'not a database' in done.stdout + done.stderr


def test_tables_of_a_later_program_are_refused(gateway):
    gw = gateway(conf={'database': 'sqlite'})
    gw.stop()
    db = sqlite3.connect(os.path.join(gw.prefix, 'gibbon.db'))
    db.execute('PRAGMA user_version = 99')
    db.close()
    done = gw.cli('start')
    assert done.returncode == 1
    assert 'later version' in done.stdout + done.stderr


def test_the_file_is_for_its_owner_alone(gateway):
    gw = gateway(conf={'database': 'sqlite'})
    for name in ('gibbon.db', 'gibbon.db-wal'):
        assert os.stat(os.path.join(gw.prefix, name)).st_mode & 0o077 == 0
