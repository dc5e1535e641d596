#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Are all C files formatted as .clang-format says?  With --fix, makes them so.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(command -v clang-format-14 || command -v clang-format) ||
	{ echo "clang-format is missing: make deps-test" >&2; exit 1; }
mapfile -t files < <(git ls-files '*.c' '*.h')
if [ "${1:-}" = --fix ]; then
	"$tool" -i "${files[@]}"
else
	"$tool" --dry-run --Werror "${files[@]}"
fi
echo "${#files[@]} files formatted"
