#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""changes.py - what clients feel while the configuration changes.

    changes.py [--routes N] [--seconds N]

A gateway with so many routes (SQLite) is asked 500 times a second over one
connection: left alone, then with five changes of routes a second through the
Admin API, then with a reload each two seconds.  Latency counts from when a
request was due, so that one that holds others up counts for them too.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from proxies import Origin, gateway_config

from harness.client import Client
from harness.gateway import PROGRAM, Gateway

INTERVAL = 0.002


def ask_steadily(gateway, seconds, each_turn=None):
    """Sorted latencies in ms."""
    taken, client = [], Client(gateway.proxy)
    due = time.monotonic()
    end = due + seconds
    while due < end:
        time.sleep(max(0, due - time.monotonic()))
        reply = client.get('/1k')
        assert reply.status == 200, reply.status
        taken.append((time.monotonic() - due) * 1000)
        if (reply.get('Connection') or '').lower() == 'close':  # a reload drains it
            client.close()
            client = Client(gateway.proxy)
        due += INTERVAL
        if each_turn:
            each_turn()
    client.close()
    return sorted(taken)


def change_routes(admin, seconds):
    """The other process: new paths for routes, five times a second; how long each took in ms."""
    client, taken = Client(admin, timeout=30), []
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        began = time.monotonic()
        body = json.dumps({'paths': [f'/r/{number}/', f'/changed/{number}/']})
        reply = client.request('PATCH', f'/routes/r{number}', [('Content-Type', 'application/json')],
                               body=body.encode())
        assert reply.status == 200, reply.body
        taken.append((time.monotonic() - began) * 1000)
        number += 1
        time.sleep(max(0, 0.2 - (time.monotonic() - began)))
    print(json.dumps(taken))


def with_changes(gateway, seconds):
    writer = subprocess.Popen([sys.executable, __file__, '--write', str(gateway.admin),
                               '--seconds', str(seconds)], stdout=subprocess.PIPE, text=True)
    taken = ask_steadily(gateway, seconds)
    said = writer.communicate(timeout=60)[0]
    assert writer.returncode == 0
    return taken, sorted(json.loads(said))


def with_reloads(gateway, seconds):
    running = []
    at = [time.monotonic()]

    def reload_when_due():
        if time.monotonic() >= at[0]:
            at[0] += 2
            running.append(subprocess.Popen(
                [PROGRAM, 'reload', '-c', gateway.conf_path],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    taken = ask_steadily(gateway, seconds, reload_when_due)
    assert all(p.wait(60) == 0 for p in running)
    return taken


def figures(taken):
    return {'p50': taken[len(taken) // 2], 'p99': taken[len(taken) * 99 // 100], 'worst': taken[-1]}


def measure_changes(folder, origin, routes, seconds):
    """{'alone', 'changes', 'reloads': {p50, p99, worst}, 'write': the same of the writes}; ms."""
    gateway = Gateway(os.path.join(folder, 'changes'), conf={
        'database': 'sqlite', 'log_level': 'notice', 'proxy_access_log': 'off',
        'nginx_http_keepalive_requests': '1000000'})
    document = os.path.join(folder, 'changes.json')
    with open(document, 'w') as out:
        json.dump(gateway_config(origin, routes), out)
    done = gateway.cli('config', 'db_import', document, timeout=120)
    assert done.returncode == 0, done.stderr
    gateway.start(wait=False)
    gateway.wait_ready(timeout=60)
    try:
        out = {'alone': figures(ask_steadily(gateway, seconds))}
        taken, writes = with_changes(gateway, seconds)
        out |= {'changes': figures(taken), 'write': figures(writes),
                'reloads': figures(with_reloads(gateway, seconds))}
    finally:
        gateway.stop()
    for name, f in out.items():
        print(f'{routes} routes, {name:8}' + '  '.join(f'{k} {v:6.2f} ms' for k, v in f.items()),
              flush=True)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--routes', type=int, default=10000)
    parser.add_argument('--seconds', type=float, default=10)
    parser.add_argument('--write', type=int, help=argparse.SUPPRESS)  # the port of the Admin API
    options = parser.parse_args()
    if options.write:
        return change_routes(options.write, options.seconds)
    folder = tempfile.mkdtemp(prefix='gibbon-changes-')
    origin = Origin(os.path.join(folder, 'origin'), {'1k': 1024})
    try:
        measure_changes(folder, origin, options.routes, options.seconds)
    finally:
        origin.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
