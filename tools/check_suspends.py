#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_suspends.py - do the doors say which calls may suspend?

    check_suspends.py [BUILD_DIRECTORY]

A function that calls one marked SUSPENDS may suspend itself.  Every function
with external linkage for which that holds must carry the mark; this fails
when one does not, and says through which call.

How: clang compiles each file of compile_commands.json to LLVM IR without
optimising.  The IR has each direct call, and llvm.global.annotations has the
marks of what is defined.  Calls through a function pointer are invisible:
mark the function that makes them.  Handing a function to another (as
fiber_start does) is no call.  A mark on main() or in tests is not asked for.
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys

DEFINE = re.compile(r'^define (?P<linkage>(?:internal |linkonce_odr |dso_local |weak )*)'
                    r'[^@]*@"?(?P<name>[\w.$]+)"?\(')
CALL = re.compile(r'\b(?:call|invoke)\b[^@=]*?@"?([\w.$]+)"?\(')
NOTE = re.compile(r'\{ i8\*,? ?(?:bitcast \([^@]*)?@"?([\w.$]+)"?|ptr @"?([\w.$]+)"?, ptr @\.str')
DROP_WITH_VALUE = {'-o', '-MF', '-MQ', '-MT'}
DROP = {'-c', '-MD', '-MMD', '-Werror'}


def clang():
    for name in ('clang-14', 'clang'):
        if shutil.which(name):
            return name
    sys.exit('clang is missing: make deps-test')


def to_ir(compiler, entry):
    """The IR of one source; the flags are those it is built with."""
    words = entry['command'].split()
    flags, skip = [], False
    start = next(i for i, w in enumerate(words) if w.startswith('-'))
    for word in words[start:]:
        if skip:
            skip = False
        elif word in DROP_WITH_VALUE:
            skip = True
        elif word not in DROP and not word.startswith(('-O', '-fsanitize', '-g')) \
                and not word.endswith('.c'):
            flags.append(word.replace('\\"', '"').replace("'", ''))
    done = subprocess.run([compiler, *flags, '-w', '-O0', '-fno-color-diagnostics',
                           '-U_FORTIFY_SOURCE', '-S', '-emit-llvm', '-o', '-', entry['file']],
                          cwd=entry['directory'], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{entry["file"]}: {done.stderr[:2000]}')
    return done.stdout


def read(unit, ir):
    """(marked, calls, extern) of one file; a static function is known as unit:name."""
    statics, calls, extern, marked = set(), {}, set(), set()
    for line in ir.splitlines():
        m = DEFINE.match(line)
        if m and 'internal' in m['linkage']:
            statics.add(m['name'])

    def known(name):
        return f'{unit}:{name}' if name in statics else name

    here = None
    for line in ir.splitlines():
        if line.startswith('@llvm.global.annotations'):
            marked |= {known(a or b) for a, b in NOTE.findall(line)}
        elif line.startswith('define '):
            m = DEFINE.match(line)
            here = known(m['name'])
            if m['name'] not in statics:
                extern.add(here)
        elif line.startswith('}'):
            here = None
        elif here:
            calls.setdefault(here, set()).update(known(to) for to in CALL.findall(line))
    return marked, calls, extern


def main(directory='build'):
    with open(f'{directory}/compile_commands.json') as text:
        entries = [e for e in json.load(text)
                   if '/src/' in os.path.abspath(os.path.join(e['directory'], e['file']))
                   and not os.path.basename(e['file']).startswith('test_')]
    unique = {e['file']: e for e in entries}
    compiler = clang()
    marked, calls, extern = set(), {}, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        irs = pool.map(lambda e: to_ir(compiler, e), unique.values())
        for file, ir in zip(unique, irs):
            m, c, x = read(os.path.basename(file), ir)
            marked |= m
            extern |= x
            for caller, to in c.items():
                calls.setdefault(caller, set()).update(to)

    closure, grown = set(marked), True
    while grown:
        more = {f for f, to in calls.items() if f not in closure and to & closure}
        closure |= more
        grown = bool(more)
    missing = sorted((closure - marked - {'main'}) & extern)
    for name in missing:
        through = ', '.join(sorted(calls[name] & closure))
        print(f'{name}: may suspend (through {through}) but is not marked SUSPENDS')
    print(f'{len(marked)} marked, {len(closure - marked)} inferred, {len(missing)} missing')
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
