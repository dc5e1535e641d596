#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_habits.py - small promises of the sources that a machine can keep.

Every C file opens with its SPDX line and its story (a source that goes straight
to its own door, x.c to x.h, has its story there); comments are /* */ alone; no
goto; nothing marked as unfinished; no page named that is not here; memory comes
from arenas, so malloc and its kin appear only in base/, fiber/ and the adapters
named in src/LAYERS.
"""
import fnmatch
import os
import re
import subprocess
import sys

TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
PAGE = re.compile(r'\b[\w/.-]+\.md\b')
UNFINISHED = re.compile(r'\b(?:TODO|FIXME|XXX|HACK)\b')
GOTO = re.compile(r'\bgoto\s+\w+')
HEAP = re.compile(r'\b(?:malloc|calloc|realloc|free|strdup|strndup|asprintf|vasprintf)\s*\(')
SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'
HEAP_ALLOWED = ['src/base/*', 'src/fiber/*', 'src/net/block.c', 'src/*/test_*.c', 'fuzz/*',
                'bench/*']


def adapters():
    with open('src/LAYERS') as lines:
        rows = [line.split('#')[0].split() for line in lines]
    return ['src/' + a for row in rows if row[:1] == ['library'] for a in row[2:]]


def check(file, heap_allowed):
    with open(file, encoding='utf-8') as text:
        whole = text.read()

    def at(position):
        return f'{file}:{whole.count(chr(10), 0, position) + 1}'

    if not whole.startswith(SPDX):
        yield f'{file}:1: does not open with {SPDX.strip()}'
    elif not whole[len(SPDX):].startswith(('/*', f'#include "{file[4:-2]}.h"')):
        yield f'{file}:2: has no story'
    for m in TOKEN.finditer(whole):
        if m[0].startswith('//'):
            yield f'{at(m.start())}: // comment'
        if m[0].startswith('/') and UNFINISHED.search(m[0]):
            yield f'{at(m.start())}: unfinished: {UNFINISHED.search(m[0])[0]}'
        if m[0].startswith('/'):
            for page in PAGE.findall(m[0]):
                if not any(os.path.exists(os.path.join(d, page)) for d in ('', 'docs')):
                    yield f'{at(m.start())}: {page} is not in the repository'
    bare = TOKEN.sub(lambda m: re.sub(r'[^\n]', ' ', m[0]), whole)
    for m in GOTO.finditer(bare):
        yield f'{at(m.start())}: goto'
    if not any(fnmatch.fnmatch(file, a) for a in heap_allowed):
        for m in HEAP.finditer(bare):
            yield f'{at(m.start())}: {m[0].rstrip("( ")} outside of base/, fiber/ and the adapters'


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    files = subprocess.check_output(['git', 'ls-files', '*.c', '*.h'], text=True).split()
    allowed = HEAP_ALLOWED + adapters()
    wrong = [text for file in files for text in check(file, allowed)]
    print('\n'.join([*wrong, f'{len(files)} files, {len(wrong)} wrong']))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
