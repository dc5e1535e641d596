#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""run.py - Gibbon beside nginx and HAProxy on one machine, in one run.

    run.py [--quick] [--seconds N] [--rounds N] [--only CASE,...] [--out FILE]

Each case runs in rounds, one proxy after the other in each round, so that what
else the machine does hits all of them; the medians of the rounds count.  The
figure that matters is the CPU that the proxy used per request (user and
system, of all its processes and threads, by the kernel's own accounting):
requests per second and latencies also depend on the client and the origin,
which share the machine.  Writes bench/RESULTS.md.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import plugins
import stores
import streams
from changes import measure_changes
from load import compare, h2load, measure, medians
from proxies import DESCRIPTORS, Gibbon, Haproxy, Nginx, Origin, ROOT, gateway_config

from harness.certs import Certs
from harness.client import Client, ask

SIZES = {'1k': 1024, '64k': 65536, '1m': 1 << 20}
POST = '''
wrk.method = "POST"
wrk.body = string.rep("x", 10240)
wrk.headers["Content-Type"] = "application/octet-stream"
'''
ROUTES = '''
local n, i = %d, 0
request = function()
  i = (i + 7919) %% n
  return wrk.format("GET", "/r/" .. i .. "/x")
end
'''
CASES = [
    # name, title, wrk's arguments, path, TLS
    ('plain', '1 KB, kept alive', {}, '/1k', False),
    ('fresh', '1 KB, a connection per request', {'headers': ['Connection: close']}, '/1k', False),
    ('64k', '64 KB, kept alive', {}, '/64k', False),
    ('1m', '1 MB, kept alive', {'connections': 8}, '/1m', False),
    ('post', '10 KB POST, kept alive', {'script': POST}, '/post', False),
    ('tls', '1 KB over TLS, kept alive', {}, '/1k', True),
    ('h2', '1 KB over HTTP/2 and TLS, 8 streams a connection', {'by': h2load}, '/1k', True),
]
BROWSER = [
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0',
    'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
    'Accept-Language: en-US,en;q=0.5', 'Accept-Encoding: gzip, deflate, br', 'DNT: 1',
    'Referer: https://shop.example.com/catalogue/list?page=3&sort=price',
    'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; cart=42',
    'Upgrade-Insecure-Requests: 1', 'Sec-Fetch-Dest: document', 'Sec-Fetch-Mode: navigate',
    'Sec-Fetch-Site: same-origin', 'Sec-Fetch-User: ?1', 'Pragma: no-cache',
    'Cache-Control: no-cache']
# With the access log on, of which HAProxy has none in a file.
LOGGED = ('browser', "1 KB, a browser's headers, access log on", {'headers': BROWSER}, '/1k', False)


# ---- what is Gibbon's alone -------------------------------------------------------------------


def many_routes(folder, origin, cert, seconds, rounds, counts=(1, 1000, 10000)):
    """CPU per request when requests spread over so many routes; memory of the worker."""
    gateways = {n: Gibbon(os.path.join(folder, f'routes{n}'), origin, cert, routes=n)
                for n in counts}
    try:
        taken = {n: [] for n in counts}
        for i in range(rounds):
            for n, gateway in gateways.items():
                taken[n].append(measure(folder, gateway, '/', False, seconds, warm=i == 0,
                                        script=ROUTES % n))
        out = {n: {**medians(r), 'memory_kb': gateways[n].memory_kb()} for n, r in taken.items()}
    finally:
        for gateway in gateways.values():
            gateway.stop()
    for n, figures in out.items():
        print(f'{n} routes: {figures["cpu"]:.1f} us, worker {figures["memory_kb"] / 1024:.1f} MB')
    return out


def build_routes(folder, origin, cert, count):
    """Seconds that a configuration of so many routes takes, and what the proxy's clients see of
    it: the slowest of the requests asked meanwhile, on another connection."""
    gateway = Gibbon(os.path.join(folder, f'build{count}'), origin, cert)
    try:
        body = json.dumps(gateway_config(origin, count)).encode()
        poster = Client(gateway.gateway.admin, timeout=120)
        asker = Client(gateway.port)
        asker.get('/1k')
        began = time.monotonic()
        poster.send(b'POST /config HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
                    b'Content-Length: %d\r\n\r\n' % len(body))
        worst, sent = 0.0, 0
        poster.sock.setblocking(False)
        answered = False
        while not answered:  # the reply begins when the configuration is in use
            if sent < len(body):
                try:
                    sent += poster.sock.send(body[sent:sent + 262144])
                except BlockingIOError:
                    pass
            else:
                try:
                    poster.buffer += poster.sock.recv(65536)
                    answered = bool(poster.buffer)
                except BlockingIOError:
                    pass
            asked = time.monotonic()
            assert asker.get('/1k').status == 200
            worst = max(worst, time.monotonic() - asked)
        took = time.monotonic() - began
        status = poster.buffer.split(b' ')[1]
        poster.sock.close()  # the rest of the reply is not wanted, and would hold up the stop
        assert status == b'201', poster.buffer[:300]
        assert ask(gateway.port, f'/r/{count - 1}/x').status == 200
        built = re.findall(r'configuration .* built in (\d+) ms', gateway.gateway.log())
        out = {'took': took, 'worst_ms': worst * 1000, 'built_ms': int(built[-1])}
    finally:
        gateway.stop()
    print(f'{count} routes: posted in {took:.2f} s, built in {out["built_ms"]} ms, '
          f'slowest request meanwhile {out["worst_ms"]:.1f} ms')
    return out


def idle_connections(proxies, wanted):
    """Bytes of the worker's memory per idle kept-alive connection."""
    out = {}
    for proxy in proxies:
        clients = []
        # HAProxy counts two descriptors for each connection that it may have.
        count = min(wanted, (DESCRIPTORS - 500) // 2) if proxy.name == 'haproxy' else wanted
        try:
            for _ in range(200):
                ask(proxy.port, '/1k')
            before = proxy.memory_kb()
            for _ in range(count):
                c = Client(proxy.port)
                clients.append(c)
                c.get('/1k')
            time.sleep(1)
            out[proxy.name] = (proxy.memory_kb() - before) * 1024 / count
        finally:
            for c in clients:
                c.close()
        print(f'{count} idle connections: {proxy.name} {out[proxy.name]:.0f} bytes each',
              flush=True)
    return out


# ---- the page -----------------------------------------------------------------------------


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().split('\n')[0]


def machine():
    with open('/proc/cpuinfo') as text:
        model = re.search(r'model name\s*: (.*)', text.read())
    return f'{os.cpu_count()} x {model[1] if model else "unknown processor"}, Linux ' \
           f'{os.uname().release}'


def page(options, results, suite, streamed, routes, built, changes, kept, idle):
    commit = first_line('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD')
    dirty = subprocess.run(['git', '-C', ROOT, 'status', '--porcelain', '-uno', 'src'],
                           capture_output=True, text=True).stdout.strip()
    names = ['gibbon', 'nginx', 'haproxy']
    lines = [
        '# Results', '',
        'Written by `make bench`. CPU per request is what the proxy used (user and system); the',
        'ratio is to nginx. Each proxy has one worker thread and no access log unless it says so; client, proxy and',
        'origin share the machine, so requests per second are not those of a machine of its own.',
        '',
        f'- commit: {commit}{" and changes" if dirty else ""}, {time.strftime("%Y-%m-%d")}',
        f'- machine: {machine()}',
        f'- beside: {first_line("/usr/sbin/nginx", "-v")}, {first_line("/usr/sbin/haproxy", "-v")}',
        f'- {options.rounds} rounds of {options.seconds} s, medians',
        '', '## CPU per request', '',
        '| case | ' + ' | '.join(f'{n} µs' for n in names) + ' | gibbon/nginx | haproxy/nginx |',
        '|---|' + '---:|' * (len(names) + 2)]
    for name, title, *_ in [*CASES, LOGGED]:
        if name in results:
            r = results[name]
            cells = [f'{r[n]["cpu"]:.1f}' if n in r else '' for n in names]
            cells.append(f'**{r["gibbon"]["cpu"] / r["nginx"]["cpu"]:.2f}**')
            cells.append(f'{r["haproxy"]["cpu"] / r["nginx"]["cpu"]:.2f}' if 'haproxy' in r else '')
            lines.append(f'| {title} | ' + ' | '.join(cells) + ' |')
    lines += ['', '## Requests per second and 99th percentile', '',
              '| case | ' + ' | '.join(f'{n} /s | p99 ms' for n in names) + ' |',
              '|---|' + '---:|' * (2 * len(names))]
    for name, title, *_ in [*CASES, LOGGED]:
        if name in results:
            r = results[name]
            lines.append(f'| {title} | ' + ' | '.join(
                f'{r[n]["rps"]:.0f} | {r[n]["p99"]:.2f}' if n in r else ' | ' for n in names)
                + ' |')
            for n in r:
                if r[n]['errors']:
                    lines.append(f'| {n}: {r[n]["errors"]} |' + ' |' * (2 * len(names)))
    lines += plugins.page(suite) + streams.page(streamed)
    if routes:
        base = routes[min(routes)]['cpu']
        lines += ['', '## Routes', '', 'Requests spread over all routes.', '',
                  '| routes | µs per request | to one route | worker memory |',
                  '|---:|---:|---:|---:|']
        lines += [f'| {n} | {f["cpu"]:.1f} | {f["cpu"] / base:.2f} | '
                  f'{f["memory_kb"] / 1024:.1f} MB |' for n, f in routes.items()]
    if built:
        lines += ['', f'A configuration of {options.build:,} routes, posted to `/config` while '
                  f'requests flow: {built["built_ms"]} ms to build what the data plane uses, '
                  f'{built["took"]:.2f} s in all, reading and checking the document included; '
                  f'the slowest request meanwhile took {built["worst_ms"]:.1f} ms.']
    if changes:
        lines += ['', '## Changes', '', '10,000 routes in SQLite; 500 requests a second over one connection, while '
                  'nothing changes, while five', 'routes a second are changed through the Admin API (and how long such a '
                  'write takes), and while the', 'gateway reloads every two seconds:', '',
                  '| | p50 ms | p99 ms | worst ms |', '|---|---:|---:|---:|']
        lines += [f'| {name} | {f["p50"]:.2f} | {f["p99"]:.2f} | {f["worst"]:.2f} |'
                  for name, f in changes.items()]
    if kept:
        lines += stores.lines_of(kept)
    if idle:
        lines += ['', '## Idle connections', '',
                  f'{options.idle:,} kept-alive connections after one request each, memory of the '
                  'worker per connection:', '',
                  '| ' + ' | '.join(idle) + ' |', '|' + '---:|' * len(idle),
                  '| ' + ' | '.join(f'{v:.0f} bytes' for v in idle.values()) + ' |']
    return '\n'.join(lines) + '\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='one short round of each case')
    parser.add_argument('--seconds', type=int, default=5)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--only', default='', help='cases, of: '
                        + ','.join([c[0] for c in CASES] + ['browser', 'plugins', 'logging', 'routes', 'build', 'changes', 'stores', 'idle', 'streams']))
    parser.add_argument('--build', type=int, default=100000, help='routes to build')
    parser.add_argument('--idle', type=int, default=10000, help='idle connections')
    parser.add_argument('--out', default=os.path.join(ROOT, 'bench', 'RESULTS.md'))
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 2, 1
    wanted = set(filter(None, options.only.split(',')))

    def is_wanted(name):
        return not wanted or name in wanted

    folder = tempfile.mkdtemp(prefix='gibbon-bench-')
    started = []
    try:
        certs = os.path.join(folder, 'certs')
        os.makedirs(certs)
        cert = Certs(certs).make('localhost', ['localhost', '127.0.0.1'])
        origin = Origin(os.path.join(folder, 'origin'), SIZES)
        started.append(origin)
        proxies = []
        for make in (Gibbon, Nginx, Haproxy):
            proxies.append(make(os.path.join(folder, make.name), origin, cert))
            started.append(proxies[-1])
        cases = [c for c in CASES if is_wanted(c[0])]
        results = compare(folder, proxies, cases, options.seconds, options.rounds)
        if is_wanted('browser'):
            logging = [make(os.path.join(folder, make.name + '-log'), origin, cert, has_log=True)
                       for make in (Gibbon, Nginx)]
            started += logging
            results |= compare(folder, logging, [LOGGED], options.seconds, options.rounds)
        nginx = proxies[1]
        suite = {}
        if is_wanted('plugins'):
            suite |= plugins.measure_plugins(folder, origin, cert, nginx, options.seconds,
                                             options.rounds)
        if is_wanted('logging'):
            suite |= plugins.measure_logging(folder, origin, cert, options.seconds, options.rounds)
        streamed = streams.measure_streams(folder, origin, cert, options.seconds, options.rounds) \
            if is_wanted('streams') else None
        idle = idle_connections(proxies, options.idle) if is_wanted('idle') else None
        routes = many_routes(folder, origin, cert, options.seconds, options.rounds) \
            if is_wanted('routes') else None
        built = build_routes(folder, origin, cert, options.build) if is_wanted('build') else None
        changes = measure_changes(folder, origin, 10000, 10) if is_wanted('changes') else None
        kept = stores.measure_stores(folder) if is_wanted('stores') else None
        with open(options.out, 'w') as out:
            out.write(page(options, results, suite, streamed, routes, built, changes, kept, idle))
        print(f'written: {options.out}')
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
