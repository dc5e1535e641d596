#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Does docs/reference say what the program says?  With --fix, makes it so.
#
#   check_docs.sh [--fix] [PROGRAM]
#
# The reference pages and the sample configuration are printed by the program
# from its tables; nobody writes them by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

fix=
[ "${1:-}" = --fix ] && { fix=yes; shift; }
program=${1:-build/gibbon}
stale=0

# A page and the command that prints it.
pages=(
	"docs/reference/configuration.md print reference configuration"
	"docs/reference/kong.conf.sample print sample"
)

for row in "${pages[@]}"; do
	read -r page command <<<"$row"
	fresh=$(mktemp)
	# shellcheck disable=SC2086
	if ! "$program" $command >"$fresh" || [ "$(head -c 1 "$fresh")" != "#" ]; then
		echo "'gibbon $command' prints no page" >&2
		stale=1
	elif [ -n "$fix" ]; then
		mkdir -p "$(dirname "$page")"
		cat "$fresh" >"$page"
	elif ! diff -u "$page" "$fresh" | head -40; then
		echo "$page is not what 'gibbon $command' prints: run tools/check_docs.sh --fix" >&2
		stale=1
	fi
	rm -f "$fresh"
done
[ "$stale" -eq 0 ] && echo "${#pages[@]} pages fresh"
exit "$stale"
