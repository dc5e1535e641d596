#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_layers.py - includes point down, and each library has one adapter.

Reads src/LAYERS and every #include of src/.  Also refuses the private header
of another folder (x/priv*.h) and an include that names no file.  Tests may
include any layer below their own, and whatever library they test with.
A folder with an "only" line includes that door, the system and itself.
"""
import fnmatch
import os
import re
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def read_layers(path):
    rank, beside, libraries, only = {}, set(), {}, {}
    with open(path) as lines:
        for number, line in enumerate(lines, 1):
            words = line.split('#')[0].split()
            if not words:
                continue
            if words[0] == 'layer':
                rank.update({folder: len(set(rank.values())) for folder in words[1:]})
            elif words[0] == 'beside' and len(words) == 3:
                beside.add(tuple(words[1:]))
            elif words[0] == 'only' and len(words) == 3:
                only[words[1]] = words[2]
            elif words[0] == 'library':
                libraries[words[1]] = words[2:]
            else:
                sys.exit(f'{path}:{number}: cannot read "{line.strip()}"')
    return rank, beside, libraries, only


def folder_of(path):
    return path.split('/')[0] if '/' in path else 'main'


def check_ours(path, header, rank, beside):
    """What is wrong with a file of ours including a header of ours, or None."""
    here, there = folder_of(path), folder_of(header)
    if not os.path.exists(f'src/{header}') and not os.path.exists(f'include/{header}'):
        return f'"{header}" is no file of src/ (write "folder/file.h")'
    if there not in rank or here not in rank:
        return f'folder "{there if there not in rank else here}" is in no layer of src/LAYERS'
    if os.path.basename(header).startswith('priv') and here != there:
        return f'"{header}" is private to {there}/'
    if here == there or rank[there] < rank[here] or (here, there) in beside:
        return None
    return f'{here}/ may not include "{header}": {there}/ is not below it'


def check_library(path, header, libraries):
    if os.path.basename(path).startswith('test_'):
        return None
    for library, adapters in libraries.items():
        is_it = header.startswith(library) if library.endswith('/') else \
            fnmatch.fnmatch(header, library)
        if is_it and not any(fnmatch.fnmatch(path, a) for a in adapters):
            return f'<{header}> belongs to {", ".join(adapters)}'
    return None


def check_only(path, header, only):
    """A source of a folder that sees one door alone."""
    door = only.get(folder_of(path))
    if not door or os.path.basename(path).startswith('test') or header.startswith(door):
        return None
    if os.path.exists(f'src/{header}') and folder_of(header) != folder_of(path):
        return f'"{header}" is behind the door {door}'
    return None


def main():
    rank, beside, libraries, only = read_layers('src/LAYERS')
    files = subprocess.check_output(['git', 'ls-files', 'src/*.c', 'src/*.h'], text=True).split()
    wrong = count = 0
    for file in files:
        path = file[len('src/'):]
        with open(file, encoding='utf-8') as text:
            includes = INCLUDE.findall(text.read())
        for mark, header in includes:
            count += 1
            why = check_ours(path, header, rank, beside) if mark == '"' else \
                check_library(path, header, libraries)
            why = why or check_only(path, header, only)
            if why:
                print(f'{file}: {why}')
                wrong += 1
    print(f'{count} includes of {len(files)} files, {wrong} wrong')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
