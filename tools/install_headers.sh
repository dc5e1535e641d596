#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run by `meson install`: the plugin door goes to include/gibbon, and every header of the
# tree that it includes to include/gibbon/shown.
#
#   install_headers.sh COMPILER...
set -euo pipefail
cd "$MESON_SOURCE_ROOT"
to=$MESON_INSTALL_DESTDIR_PREFIX/include/gibbon

install -D -m 644 include/gibbon/plugin.h "$to/plugin.h"
"$@" -std=gnu17 -D_GNU_SOURCE -Isrc -M -MT '' -x c include/gibbon/plugin.h | tr ' \\' '\n\n' | grep '^src/' |
	while read -r header; do
		install -D -m 644 "$header" "$to/shown/${header#src/}"
	done
