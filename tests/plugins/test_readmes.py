# SPDX-License-Identifier: Apache-2.0
"""The example in each plugin's README is a configuration that the program takes."""
import glob
import os
import re

import pytest

from harness.config import declarative
from harness.gateway import ROOT

READMES = sorted(glob.glob(os.path.join(ROOT, 'src', 'plugins', '*', 'README.md')))


@pytest.mark.parametrize('path', READMES, ids=lambda path: path.split(os.sep)[-2])
def test_the_example_of_a_readme_is_taken(gateway, path):
    with open(path, encoding='utf-8') as text:
        examples = re.findall(r'```yaml\n(_format_version.*?)```', text.read(), re.S)
    assert examples, 'there is no example'
    for example in examples:
        one = gateway(declarative(), start=False)
        with open(one.config_path, 'w', encoding='utf-8') as out:
            out.write(example)
        done = one.cli('config', 'parse', one.config_path)
        assert done.returncode == 0, done.stdout + done.stderr
