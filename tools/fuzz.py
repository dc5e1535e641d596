#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fuzz.py - lets libFuzzer look for input that breaks a parser.

    fuzz.py [--seconds N] [TARGET...]

Builds fuzz/ with clang, address and undefined-behaviour sanitizers into
build-fuzz, and runs each target for N seconds from its seeds in fuzz/corpus.
What breaks a target is left in fuzz/regress/<target>/, which the tests replay
from then on; new seeds stay in build-fuzz/found/<target>/ and are used again.
"""
import argparse
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = 'build-fuzz'


def build():
    if not os.path.exists(f'{BUILD}/build.ninja'):
        compiler = 'clang-14' if shutil.which('clang-14') else 'clang'
        subprocess.run(['meson', 'setup', BUILD, '-Dfuzz=true', '-Dtests=false',
                        '-Db_sanitize=address,undefined', '-Db_lundef=false'],
                       env={**os.environ, 'CC': compiler}, check=True)
    subprocess.run(['ninja', '-C', BUILD], check=True)


def targets():
    folder = f'{BUILD}/fuzz'
    return sorted(n[len('fuzz_'):] for n in os.listdir(folder)
                  if n.startswith('fuzz_') and os.access(f'{folder}/{n}', os.X_OK)
                  and os.path.isfile(f'{folder}/{n}'))


def run(name, seconds):
    found, regress = f'{BUILD}/found/{name}', f'fuzz/regress/{name}'
    os.makedirs(found, exist_ok=True)
    os.makedirs(regress, exist_ok=True)
    seeds = [d for d in (f'fuzz/corpus/{name}', regress) if os.path.isdir(d)]
    done = subprocess.run([f'{BUILD}/fuzz/fuzz_{name}', f'-max_total_time={seconds}', '-timeout=10',
                           '-rss_limit_mb=2048', '-print_final_stats=1', '-verbosity=0',
                           f'-artifact_prefix={regress}/', found, *seeds],
                          capture_output=True, text=True)
    stats = dict(line[len('stat::'):].split(':', 1) for line in done.stderr.splitlines()
                 if line.startswith('stat::'))
    runs = stats.get('number_of_executed_units', '?').strip()
    print(f'{name:20} {"fine" if done.returncode == 0 else "BROKEN"}, {runs} runs', flush=True)
    if done.returncode:
        print(done.stderr[-4000:])
    if not os.listdir(regress):
        os.rmdir(regress)
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=int, default=60)
    parser.add_argument('targets', nargs='*')
    options = parser.parse_args()
    os.chdir(ROOT)
    build()
    results = [run(name, options.seconds) for name in options.targets or targets()]
    return 0 if results and all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
