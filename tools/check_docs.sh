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
pending=()

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
		if [ -e "$page" ]; then
			echo "'gibbon $command' prints no page, but there is $page" >&2
			stale=1
		else
			pending+=("$page")
		fi
	elif [ -n "$fix" ]; then
		mkdir -p "$(dirname "$page")"
		cat "$fresh" >"$page"
	elif ! diff -u "$page" "$fresh" | head -40; then
		echo "$page is not what 'gibbon $command' prints: run tools/check_docs.sh --fix" >&2
		stale=1
	fi
	rm -f "$fresh"
done
[ ${#pending[@]} -eq 0 ] || echo "the program does not print yet: ${pending[*]}"
[ "$stale" -eq 0 ] && echo "$((${#pages[@]} - ${#pending[@]})) pages fresh"
exit "$stale"
