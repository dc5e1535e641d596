#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_sizes.py - no giants: functions and files have ceilings.

A function has at most 150 lines (60 are wanted), a file at most 1500 (800 are
wanted).  An honest exception says why, in a comment `/* long: why */` inside
the function, or at the top of the file for a file; it is listed, not refused.
"""
import re
import subprocess
import sys

FUNCTION_WANTED, FUNCTION_MOST = 60, 150
FILE_WANTED, FILE_MOST = 800, 1500
EXCUSE = re.compile(r'/\* long: (.+?)\s*\*/', re.S)


def sources():
    out = subprocess.check_output(['git', 'ls-files', '*.c', '*.h'], text=True)
    return out.split()


def functions(files):
    """(file, name, first line, last line) of every C function, from ctags."""
    out = subprocess.run(['ctags', '--languages=C', '--langmap=C:.c.h', '--c-kinds=f',
                          '--fields=+ne', '-f', '-', '-L', '-'], input='\n'.join(files),
                         text=True, capture_output=True, check=True).stdout
    for row in out.splitlines():
        cells = row.split('\t')
        at = dict(c.split(':', 1) for c in cells[3:] if re.match(r'(line|end):\d+$', c))
        if 'line' in at and 'end' in at:
            yield cells[1], cells[0], int(at['line']), int(at['end'])


def main():
    files = sources()
    lines = {f: open(f, encoding='utf-8').read().split('\n') for f in files}
    refused, excused, long_ones, count = [], [], 0, 0

    for file, name, first, last in functions(files):
        count += 1
        size = last - first + 1
        long_ones += size > FUNCTION_WANTED
        if size <= FUNCTION_MOST:
            continue
        why = EXCUSE.search('\n'.join(lines[file][first - 1:last]))
        text = f'{file}:{first}: {name} has {size} lines (at most {FUNCTION_MOST})'
        excused.append(f'{text}: {why[1]}') if why else refused.append(text)
    for file in files:
        size = len(lines[file]) - 1
        if size <= FILE_MOST:
            continue
        why = EXCUSE.search('\n'.join(lines[file][:20]))
        text = f'{file}: {size} lines (at most {FILE_MOST})'
        excused.append(f'{text}: {why[1]}') if why else refused.append(text)

    for text in refused:
        print(f'refused: {text}')
    for text in excused:
        print(f'excused: {text}')
    print(f'{count} functions, {long_ones} over {FUNCTION_WANTED} lines; {len(files)} files, '
          f'{sum(len(v) - 1 > FILE_WANTED for v in lines.values())} over {FILE_WANTED}')
    return 1 if refused else 0


if __name__ == '__main__':
    sys.exit(main())
