#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The manual pages against the code: they are without fault (mandoc), name every exported function, with the prototype
# that its header has, and every field, constant and environment variable; refer to pages that exist; number frames as
# protocol.h does; and each function can be looked up once installed.
set -euo pipefail
export LC_ALL=C

if ! command -v mandoc >/dev/null; then
	echo "there is no mandoc"
	exit 77
fi

build=$PWD
cd "${srcdir:-.}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

bad=0
complain() { # words
	echo "$*"
	bad=1
}
compare() { # list, list
	if ! diff -u --label "$1" --label "$2" "$dir/$1" "$dir/$2"; then
		bad=1
	fi
}

mandoc -T lint -W warning man/*.[137] || bad=1

# The headers, without their comments.
cat include/haul/*.h | sed -zE 's,/\*([^*]|\*+[^*/])*\*+/,,g' >"$dir/source"

# ---- functions: name lists and prototypes

awk -f man/names.awk man/*.3 | cut -d' ' -f2 | sort >"$dir/named"
grep -oE '^[[:space:]]*[a-z0-9_]+;' src/libhaul.map | tr -d '\t ;' | sort -u >"$dir/exported"
compare exported named

grep -vE '^#|^extern|^\}$' "$dir/source" | sed 's/__attribute__((noreturn))//' | tr '\n\t' '  ' | sed 's/;/\n/g' |
	sed -E 's/ +/ /g; s/^ //; s/ $//' | grep -E '^[A-Za-z][A-Za-z_0-9 ]* \**haul_[a-z0-9_]+\(.*\)$' |
	sort >"$dir/declared"
awk '
	function say() { print type (type ~ /\*$/ ? "" : " ") name "(" args ")" }
	function take(text) {
		while (match(text, /"[^"]*"|[^ "]+/)) {
			arg = substr(text, RSTART, RLENGTH)
			gsub(/"/, "", arg)
			args = args (args == "" ? "" : ", ") arg
			text = substr(text, RSTART + RLENGTH)
		}
	}
	/^\.Sh/ { synopsis = $2 == "SYNOPSIS" }
	!synopsis { next }
	/^\.Ft/ { type = substr($0, 5) }
	/^\.F[no]/ { name = $2; args = "" }
	/^\.Fn/ { sub(/^\.Fn [^ ]* ?/, ""); take($0); say() }
	/^\.Fa/ { take(substr($0, 5)) }
	/^\.Fc/ { say() }
' man/*.3 | sort >"$dir/synopsis"
compare declared synopsis

# ---- fields of structs, all of them on one page; constants

mentioned() { # macro, page...
	local macro=$1
	shift
	sed -nE "s/^\.(It )?$macro //p" "$@" | tr -s ' ,' '\n' | sort -u
}

awk '
	/^struct haul_[a-z_]+ \{$/ { name = $2; body = ""; next }
	/^};$/ && name != "" { print name, body; name = "" }
	name != "" { body = body " " $0 }
' "$dir/source" >"$dir/structs"
if [[ $(wc -l <"$dir/structs") -lt 10 ]]; then
	complain "few structs were found in the headers: this test is wrong"
fi
while read -r struct body; do
	# A field is the word before its comma or semicolon, or what a pointer to a function points from.
	sed -E 's/\(\*([a-z_]+)\)\([^)]*\)/\1/g; s/\[[^]]*\]//g' <<<"$body" | grep -oE '[a-z_0-9]+ *[,;]' |
		tr -d ' ,;' | grep -vxE 'unused|reserved' | sort -u >"$dir/fields"
	lacking="on no page"
	while read -r page; do
		mentioned Va "$page" >"$dir/mentioned"
		lacks=$(comm -23 "$dir/fields" "$dir/mentioned" | tr '\n' ' ')
		if [[ -z $lacks ]]; then
			lacking=
			break
		fi
		lacking="without ${lacks}in $page"
	done < <(grep -lE "^\.Vt \"struct $struct\"" man/*.3)
	if [[ -n $lacking ]]; then
		complain "struct $struct: $lacking"
	fi
done <"$dir/structs"

{
	sed -nE 's/^#define (HAUL_[A-Z0-9_]+) .*/\1/p' "$dir/source"
	grep -v '^#' "$dir/source" | grep -oE '\bHAUL_[A-Z0-9_]+'
} | sort -u >"$dir/constants"
mentioned Dv man/*.[37] >"$dir/mentioned"
for constant in $(comm -23 "$dir/constants" "$dir/mentioned"); do
	complain "$constant: on no page"
done

# ---- the command's options, environment, refusals, references, frames

for page in man/haul-*.1; do
	sub=$(basename "$page" .1)
	if ! "$build/tools/haul" "${sub#haul-}" --help >"$dir/help"; then
		complain "haul ${sub#haul-} --help fails"
	fi
	mentioned Fl "$page" >"$dir/mentioned"
	while read -r option; do
		if ! grep -qx -e "$option" "$dir/mentioned"; then
			complain "$page: without -$option"
		fi
	done < <(grep -oE '^ +(-., )?--[a-z0-9-]+' "$dir/help" | sed 's/.*--/-/')
done

for variable in $(grep -rhoE '"HAUL_[A-Z_]+"' src | tr -d '"' | sort -u); do
	if ! mentioned Ev man/haul.1 man/haul.7 man/haul-run.1 | grep -qx "$variable"; then
		complain "$variable, which src/ reads: neither in haul(1) nor in haul(7) or haul-run(1)"
	fi
done

# What refuses a pull, by the names that haul doctor has for it.
sed -n '/^const char \*doctor_layer_name/,/^}/p' tools/doctor_words.c | grep -oE '"[a-z-]+"' | tr -d '"' |
	grep -vx nothing | sort >"$dir/layers"
mentioned Cm man/haul-doctor.1 >"$dir/mentioned"
for layer in $(comm -23 "$dir/layers" "$dir/mentioned"); do
	complain "man/haul-doctor.1: without the layer $layer"
done
awk '/^\.Sh/ { on = /REFUSES/ } on && /^\.It Cm/ { print $3 }' man/haul.7 | sort >"$dir/refusing"
grep -vxE 'gone|socket|unknown' "$dir/layers" >"$dir/layers_that_refuse"
compare layers_that_refuse refusing

while read -r page name section; do
	if [[ ! -e man/$name.$section ]] && ! { [[ $section == 3 ]] && grep -qx "$name" "$dir/named"; }; then
		complain "$page refers to $name($section), which does not exist"
	fi
done < <(awk '/^\.Xr haul/ { print FILENAME, $2, $3 }' man/*)

# A frame is "NAME (number)", and its fields "field size, ...", in the page; in docs/protocol.md, which
# tests/unit/test_protocol.c holds against the code, a heading and a table.
awk -F' *[|] *' '
	/^##/ { if (on) print name ": " fields; on = 0; fields = "" }
	/^### ([A-Z]+ \([0-9]+\)|HELLO|Header)$/ { name = substr($0, 5); on = 1 }
	on && $2 ~ /^[0-9]+$/ { fields = fields (fields == "" ? "" : ", ") $4 " " $3 }
' docs/protocol.md | sort >"$dir/documented"
awk '
	/^\.It Cm ([A-Z]+ \([0-9]+\)|HELLO|Header)$/ { name = substr($0, 8); getline; sub(/^\.Dl ?/, "")
		print name ": " ($0 == "no body" ? "" : $0) }
' man/haul_protocol.7 | sort >"$dir/in_haul_protocol"
compare documented in_haul_protocol
sed -nE 's/^\tWIRE_([A-Z]+) = ([0-9]+),.*/\1 (\2)/p' <(sed -n '/^enum wire_type/,/^};/p' src/wire/protocol.h) |
	sort >"$dir/numbered"
sed -n 's/):.*/)/p' "$dir/in_haul_protocol" >"$dir/numbers_in_haul_protocol"
compare numbered numbers_in_haul_protocol

# ---- installed: a page for each function, which leaves nothing when it goes

make -s -C "$build" install-man install-data-hook DESTDIR="$dir/root" mandir=/man >"$dir/log" 2>&1 ||
	{ complain "the pages can't be installed:"; cat "$dir/log"; }
while read -r name; do
	if [[ ! -e $dir/root/man/man3/$name.3 ]]; then
		complain "man $name would find nothing"
	fi
done <"$dir/exported"
make -s -C "$build" uninstall-man uninstall-hook DESTDIR="$dir/root" mandir=/man >"$dir/log" 2>&1 ||
	{ complain "the pages can't be removed:"; cat "$dir/log"; }
if [[ -n $(find "$dir/root" ! -type d) ]]; then
	complain "what is left of the pages when they are uninstalled:"
	find "$dir/root" ! -type d
fi

exit $bad
