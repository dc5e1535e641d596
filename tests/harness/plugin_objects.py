# SPDX-License-Identifier: Apache-2.0
"""Plugins outside the tree, built as a user builds them: against an installed gateway."""
import glob
import os
import shutil
import subprocess

from harness.gateway import PROGRAM, ROOT

EXAMPLE = os.path.join(ROOT, 'examples', 'plugin')


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class PluginObjects:
    """build(changed={text: text}): a folder with hello.so, of the example's source or of
    another one."""

    def __init__(self, factory):
        self.factory = factory
        root = factory.mktemp('root')
        run('meson', 'install', '-C', os.path.dirname(PROGRAM), '--no-rebuild', '--destdir', str(root))
        found = glob.glob(f'{root}/**/gibbon-plugin.pc', recursive=True)
        assert len(found) == 1
        self.env = {**os.environ, 'PKG_CONFIG_PATH': os.path.dirname(found[0]),
                    'PKG_CONFIG_SYSROOT_DIR': str(root)}

    def build(self, changed=None, source=None):
        folder = self.factory.mktemp('plugin')
        shutil.copy(os.path.join(EXAMPLE, 'Makefile'), folder)
        if source is None:
            with open(os.path.join(EXAMPLE, 'hello.c')) as file:
                source = file.read()
        for old, new in (changed or {}).items():
            assert old in source
            source = source.replace(old, new)
        (folder / 'hello.c').write_text(source)
        run('make', '-C', str(folder), env=self.env)
        return folder
