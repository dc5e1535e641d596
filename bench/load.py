# SPDX-License-Identifier: Apache-2.0
"""load - wrk, or h2load, against a proxy, and what of it counts: CPU per request by the kernel's accounting."""
import os
import re
import statistics
import subprocess

WRK_FIGURES = {
    'requests': re.compile(r'(\d+) requests in'),
    'rps': re.compile(r'Requests/sec:\s+([\d.]+)'),
    'p99': re.compile(r'99%\s+([\d.]+)(us|ms|s)'),
    'errors': re.compile(r'Socket errors: (.*)|Non-2xx or 3xx responses: (\d+)'),
}
MS = {'us': 0.001, 'ms': 1, 's': 1000}


def wrk(folder, url, seconds, connections=32, headers=(), script=None):
    command = ['wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '--latency']
    for header in headers:
        command += ['-H', header]
    if script:
        path = os.path.join(folder, 'wrk.lua')
        with open(path, 'w') as out:
            out.write(script)
        command += ['-s', path]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    error = WRK_FIGURES['errors'].search(said)
    p99 = WRK_FIGURES['p99'].search(said)
    return {'requests': int(WRK_FIGURES['requests'].search(said)[1]),
            'rps': float(WRK_FIGURES['rps'].search(said)[1]),
            'p99': float(p99[1]) * MS[p99[2]],
            'errors': error[0] if error else ''}


H2LOAD_FIGURES = re.compile(r'finished in [^,]*, ([\d.]+) req/s.*requests: .* (\d+) done, (\d+) succeeded', re.S)


def h2load(folder, url, seconds, connections=16, streams=8):
    """HTTP/2: so many streams at a time on each connection."""
    log = os.path.join(folder, 'h2load.log')
    said = subprocess.run(['h2load', f'-c{connections}', f'-m{streams}', f'-D{seconds}', f'--log-file={log}', url],
                          capture_output=True, text=True, check=True).stdout
    rps, done, succeeded = H2LOAD_FIGURES.search(said).groups()
    with open(log) as lines:  # started, status, microseconds
        took = sorted(int(line.split()[2]) for line in lines)
    os.unlink(log)
    return {'requests': int(done), 'rps': float(rps), 'p99': took[len(took) * 99 // 100] / 1000,
            'errors': '' if done == succeeded else f'{int(done) - int(succeeded)} failed'}


def measure(folder, proxy, path, tls, seconds, warm=True, by=wrk, **load):
    url = f'https://127.0.0.1:{proxy.port_tls}' if tls else f'http://127.0.0.1:{proxy.port}'
    if warm:
        by(folder, url + path, 1, **load)
    before = proxy.cpu_seconds()
    figures = by(folder, url + path, seconds, **load)
    used = proxy.cpu_seconds() - before
    figures['cpu'] = used / max(figures['requests'], 1) * 1e6
    return figures


def medians(rounds):
    out = {k: statistics.median(r[k] for r in rounds) for k in ('cpu', 'rps', 'p99')}
    out['errors'] = '; '.join(sorted({r['errors'] for r in rounds if r['errors']}))
    return out


def compare(folder, proxies, cases, seconds, rounds):
    """{case: {proxy: medians}}; the proxies take turns in each round."""
    results = {}
    for name, title, load, path, tls in cases:
        taken = {p.name: [] for p in proxies}
        for i in range(rounds):
            for proxy in proxies:
                taken[proxy.name].append(measure(folder, proxy, path, tls, seconds,
                                                 warm=i == 0, **load))
        results[name] = {n: medians(r) for n, r in taken.items()}
        print(f'{title:50}' + '  '.join(
            f'{n} {m["cpu"]:7.1f} us {m["rps"]:8.0f}/s' for n, m in results[name].items()),
            flush=True)
    return results
