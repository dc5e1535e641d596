#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""test.py - everything a change must pass, and one sum at the end.

    test.py [STAGE...]   stages: checks unit-asan unit-tsan fuzz pytest pytest-asan

Without a stage all run, in this order; a stage that fails does not stop the
next one.  What is counted: each check of the sources, each unit test, each
replayed fuzz corpus, each pytest.  The last line, also kept in
build/test-sum, is "N passed, N failed, N skipped"; the exit status is 1 when
anything failed or a stage ran nothing.

Environment: GIBBON names the program that pytest starts (build/gibbon),
JOBS the compiler processes at once, PYTEST_ADDOPTS what pytest knows.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = os.environ.get('JOBS', str(os.cpu_count() or 2))
FINE = ('OK', 'EXPECTEDFAIL')  # results of meson
MAX_UNSTEADY = 20  # more than these fail together: something is broken, not unsteady
CMOCKA_LINE = re.compile(r'^\[\s+(OK|FAILED|SKIPPED)\s+\] (\w+)', re.M)

# cmocka exits with 0 when what belongs to all tests of a program fails, or crashes, at the end.
GROUP_FAILED = '[  FAILED  ] GROUP '

CHECKS = [
    ('format', ['tools/check_format.sh']),
    ('layers', ['tools/check_layers.py']),
    ('sizes', ['tools/check_sizes.py']),
    ('habits', ['tools/check_habits.py']),
    ('suspends', ['tools/check_suspends.py', 'build']),
    ('docs', ['tools/check_docs.sh', 'build/gibbon']),
]
BUILDS = {
    'build': ['--werror'],
    'build-asan': ['--werror', '-Db_sanitize=address,undefined', '-Dfaults=true'],
    'build-tsan': ['--werror', '-Db_sanitize=thread'],
}


class Sum:
    """Counts of one stage: passed, failed, skipped; the names of what failed, at all or
    only at the first try."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.names = []
        self.unsteady = []

    def good(self, n=1):
        self.passed += n

    def bad(self, name):
        self.failed += 1
        self.names.append(name)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.names += other.names
        self.unsteady += other.unsteady

    def __str__(self):
        text = f'{self.passed} passed, {self.failed} failed'
        return text + (f', {self.skipped} skipped' if self.skipped else '')


def build(directory):
    """Configures the build directory when it is new and builds it; True when it built."""
    if not os.path.exists(f'{directory}/build.ninja'):
        if subprocess.run(['meson', 'setup', directory, *BUILDS[directory]],
                          stdout=subprocess.DEVNULL).returncode:
            return False
    done = subprocess.run(['ninja', '-j', JOBS, '-C', directory], capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-8000:], done.stderr[-2000:])
    return done.returncode == 0


def checks():
    count = Sum()
    if not build('build'):
        count.bad('build: does not compile without warnings')
    for name, command in CHECKS:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f'--- check {name}\n{done.stdout}{done.stderr}')
            count.bad(f'check: {name}')
        else:
            last = (done.stdout.strip() or 'fine').splitlines()[-1]
            print(f'    {name}: {last}')
            count.good()
    return count


def meson_suite(directory, suite, env):
    """Runs one meson suite; counts cmocka's tests where a binary has them, else the binary.
    A binary that fails is tried once more alone, as a pytest that fails is."""
    count = Sum()
    if not build(directory):
        count.bad(f'{directory}: does not compile without warnings')
        return count
    results = run_meson(directory, ['--suite', suite, '--num-processes', JOBS], env)
    failed = [name for name, result in results.items() if result['result'] not in FINE]
    if 0 < len(failed) <= MAX_UNSTEADY:
        print(f'--- once more: {" ".join(failed)}', flush=True)
        for name in failed:
            show(f'{directory}: {name}', results[name])
        again = run_meson(directory, failed, env)
        results.update(again)
        count.unsteady += [f'{directory}: {name}' for name, result in again.items()
                           if result['result'] in FINE]
    for result in results.values():
        one_binary(count, result, f'{directory}: ')
    return count


def run_meson(directory, options, env):
    """What meson's log says of each test that it ran, by its name."""
    log = f'{directory}/meson-logs/testlog.json'
    if os.path.exists(log):
        os.remove(log)
    subprocess.run(['meson', 'test', '-C', directory, '--no-rebuild', *options],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    if not os.path.exists(log):
        return {}
    with open(log) as lines:
        results = {r['name'].split(' / ')[-1]: r for r in map(json.loads, lines)}
    for result in results.values():
        if result['result'] in FINE and GROUP_FAILED in said_by(result):
            result['result'] = 'FAIL'
    return results


def said_by(result):
    return result.get('stdout', '') + result.get('stderr', '')


def show(where, result):
    said = said_by(result)
    print(f'--- {where}: {result["result"]}\n{said[-6000:]}')


def one_binary(count, result, where):
    said = said_by(result)
    name = result['name'].split(' / ')[-1]
    seen = set(CMOCKA_LINE.findall(said))
    failed = sorted({test for how, test in seen if how == 'FAILED'
                     and not test.isdigit() and test != 'tests'})
    count.passed += sum(how == 'OK' for how, _ in seen)
    count.skipped += sum(how == 'SKIPPED' for how, _ in seen)
    if result['result'] in FINE:
        if not seen:
            count.good()
        return
    show(f'{where}{name}', result)
    for test in failed or ['(crashed, timed out, or a sanitizer complained)']:
        count.bad(f'{where}{name}: {test}')


def unit_asan():
    return meson_suite('build-asan', 'unit', {
        'ASAN_OPTIONS': 'detect_stack_use_after_return=0:strict_string_checks=1',
        'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1'})


def unit_tsan():
    return meson_suite('build-tsan', 'unit', {
        'TSAN_OPTIONS': 'halt_on_error=1:second_deadlock_stack=1'})


def fuzz():
    return meson_suite('build-asan', 'fuzz', {'UBSAN_OPTIONS': 'halt_on_error=1'})


def pytest(directory='build', env=None):
    """All of tests/; what fails is tried once more alone, on a machine then quiet: what
    passes there counts as passed and is named unsteady, for somebody to look at."""
    count = Sum()
    if not build(directory):
        count.bad(f'{directory}: does not compile without warnings')
        return count
    env = {'GIBBON': f'{directory}/gibbon', **os.environ, **(env or {})}
    cases = run_pytest(directory, 'pytest.xml', ['-n', '4', '--dist', 'loadscope', 'tests'], env)
    if not cases:
        count.bad(f'{directory}: pytest did not run')
        return count
    failed = sorted(name for name, how in cases.items() if how == 'failed')
    if 0 < len(failed) <= MAX_UNSTEADY:
        print(f'--- once more: {" ".join(failed)}', flush=True)
        cases.update(run_pytest(directory, 'pytest-again.xml', [node_id(f) for f in failed], env))
    for name, how in cases.items():
        if how == 'failed':
            count.bad(f'{directory}: {name}')
        elif how == 'skipped':
            count.skipped += 1
        else:
            count.good()
    count.unsteady += [f'{directory}: {name}' for name in failed if cases[name] == 'passed']
    return count


def run_pytest(directory, report, options, env):
    """Runs pytest; how each test case ended (passed, failed or skipped) by its name,
    folder.file::test[parameters]."""
    report = f'{directory}/{report}'
    if os.path.exists(report):
        os.remove(report)
    subprocess.run(['/usr/bin/python3', '-m', 'pytest', '-q', *options, f'--junitxml={report}'],
                   env=env)
    cases = {}
    if os.path.exists(report):
        for case in xml.etree.ElementTree.parse(report).iter('testcase'):
            name = f'{case.get("classname")}::{case.get("name")}'
            if case.find('failure') is not None or case.find('error') is not None:
                cases[name] = 'failed'
            elif cases.get(name) != 'failed':
                cases[name] = 'skipped' if case.find('skipped') is not None else 'passed'
    return cases


def node_id(name):
    """What pytest calls the test case of that name."""
    place, test = name.split('::', 1)
    return f'tests/{place.replace(".", "/")}.py::{test}'


def pytest_asan():
    """The promises once more, kept by a program that watches its memory."""
    return pytest('build-asan', {'GIBBON': 'build-asan/gibbon', 'GIBBON_TEST_SLOW': '4'})


STAGES = {'checks': checks, 'unit-asan': unit_asan, 'unit-tsan': unit_tsan, 'fuzz': fuzz,
          'pytest': pytest, 'pytest-asan': pytest_asan}


def main(wanted):
    os.chdir(ROOT)
    unknown = set(wanted) - set(STAGES)
    if unknown:
        sys.exit(f'no such stage: {", ".join(sorted(unknown))}\n{__doc__}')
    if shutil.which('meson') is None:
        sys.exit('meson is missing: make deps-test')
    total, lines = Sum(), []
    for name in wanted or STAGES:
        print(f'=== {name}', flush=True)
        began = time.monotonic()
        count = STAGES[name]()
        if not count.passed and not count.failed and not count.skipped:
            count.bad(f'{name}: ran nothing')
        lines.append(f'{name:12} {count}  ({time.monotonic() - began:.0f} s)')
        total.add(count)
    print('\n'.join(['', *lines, *(f'UNSTEADY {name}' for name in total.unsteady),
                     *(f'FAILED {name}' for name in total.names)]))
    os.makedirs('build', exist_ok=True)
    with open('build/test-sum', 'w') as out:
        out.write(f'{total}\n')
    print(total)
    return 1 if total.failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
