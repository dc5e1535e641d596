# SPDX-License-Identifier: Apache-2.0
"""The checks of the sources find what they are for, and let pass what is right."""
import json
import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'
STORY = SPDX + '/* a story */\n'


@pytest.fixture
def tree(tmp_path):
    """tree({path: text}): a small repository with the real tools and LAYERS."""
    def make(files):
        shutil.copytree(os.path.join(ROOT, 'tools'), tmp_path / 'tools')
        (tmp_path / 'src').mkdir()
        shutil.copy(os.path.join(ROOT, 'src', 'LAYERS'), tmp_path / 'src')
        for name, text in files.items():
            path = tmp_path / 'src' / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        subprocess.run('git init -q && git add -A', shell=True, cwd=tmp_path, check=True)
        return tmp_path
    return make


def run(tree, tool, *args):
    done = subprocess.run([f'tools/{tool}', *args], cwd=tree, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize('files,says', [
    ({'base/a.h': STORY, 'http/b.c': STORY + '#include "base/a.h"\n'}, None),
    ({'http/a.h': STORY, 'base/b.c': STORY + '#include "http/a.h"\n'}, 'not below it'),
    ({'route/a.h': STORY, 'store/b.c': STORY + '#include "route/a.h"\n'}, 'not below it'),
    ({'base/priv.h': STORY, 'http/b.c': STORY + '#include "base/priv.h"\n'}, 'private'),
    ({'http/b.c': STORY + '#include "b.h"\n'}, 'no file of src/'),
    ({'http/b.c': STORY + '#include <openssl/ssl.h>\n'}, 'belongs to net/tls'),
    ({'net/tls_x.c': STORY + '#include <openssl/ssl.h>\n'}, None),
    ({'http/test_b.c': STORY + '#include <openssl/ssl.h>\n'}, None),
    ({'strange/a.h': STORY, 'cli/b.c': STORY + '#include "strange/a.h"\n'}, 'no layer'),
])
def test_check_layers(tree, files, says):
    status, said = run(tree(files), 'check_layers.py')
    assert (status, says is None or says in said) == (0 if says is None else 1, True), said


@pytest.mark.parametrize('text,says', [
    (STORY + 'int a; /* fine: "//" and goto in words */\n', None),
    ('int a;\n', 'does not open with'),
    (SPDX + 'int a;\n', 'has no story'),
    (SPDX + '#include "http/x.h"\n', None),
    (STORY + 'int a; // desk\n', '// comment'),
    (STORY + '/* TODO: later */\n', 'unfinished'),
    (STORY + '/* see SOMEWHERE.md */\n', 'not in the repository'),
    (STORY + 'void f(void) { goto out; out:; }\n', 'goto'),
    (STORY + 'void *f(void) { return malloc(1); }\n', 'malloc'),
    (STORY + 'const char *s = "malloc(1) // goto x";\n', None),
])
def test_check_habits(tree, text, says):
    status, said = run(tree({'http/x.c': text}), 'check_habits.py')
    assert (status, says is None or says in said) == (0 if says is None else 1, True), said


@pytest.mark.parametrize('lines,excuse,status', [(140, '', 0), (160, '', 1),
                                                 (160, '/* long: a table of states */', 0)])
def test_check_sizes(tree, lines, excuse, status):
    body = STORY + f'void f(void)\n{{\n{excuse}\n' + '\t;\n' * lines + '}\n'
    got, said = run(tree({'http/x.c': body}), 'check_sizes.py')
    assert got == status, said
    assert not excuse or 'excused: ' in said


@pytest.mark.parametrize('mark,call,status', [
    ('SUSPENDS', 'low();', 0), ('', 'low();', 1), ('', 'helper();', 1),
    ('', 'start(helper);', 0), ('', ';', 0),
])
def test_check_suspends(tree, mark, call, status):
    root = tree({'http/x.c': STORY + f'''
#define SUSPENDS __attribute__((annotate("suspends")))
void low(void) SUSPENDS;
void start(void (*fn)(void));
void high(void) {mark};
void low(void) {{}}
void start(void (*fn)(void)) {{ (void)fn; }}
__attribute__((used)) static void helper(void) {{ low(); }}
void high(void) {{ {call} }}
'''})
    os.mkdir(root / 'build')
    entry = {'directory': str(root / 'build'), 'file': '../src/http/x.c',
             'command': 'cc -Isrc -o x.o -c ../src/http/x.c'}
    (root / 'build' / 'compile_commands.json').write_text(json.dumps([entry]))
    got, said = run(root, 'check_suspends.py', 'build')
    assert got == status, said
    if status:
        assert 'high: may suspend' in said
