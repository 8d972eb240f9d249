# SPDX-License-Identifier: BSD-3-Clause
# Prints, for each manual page given, its file and the names that its NAME section has, a line each: what "make
# install" makes links of, and what tests/test_man.sh compares.
FNR == 1 { page = FILENAME; sub(/.*\//, "", page) }
/^\.Sh/ { naming = $2 == "NAME" }
naming && /^\.Nm/ { print page, $2 }
