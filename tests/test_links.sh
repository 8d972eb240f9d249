#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Links in the documentation lead somewhere: each relative one, in a .md, to a file or directory of the source.
set -euo pipefail
cd "${srcdir:-.}"

links=0 bad=0
while IFS=: read -r file line link; do
	link=${link#*(}
	link=${link%[)#]}
	links=$((links + 1))
	if [[ ! -e $(dirname "$file")/$link ]]; then
		echo "$file:$line: there is no $link"
		bad=1
	fi
done < <(grep -onE '\]\([^):#]+[)#]' ./*.md docs/*.md docs/model/*.md)

echo "$links links"
[[ $bad -eq 0 && $links -gt 0 ]]
