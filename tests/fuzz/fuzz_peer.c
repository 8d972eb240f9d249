/* SPDX-License-Identifier: BSD-3-Clause */
/* A whole peer against a live context: greeted properly, then whatever the script says. See attack.h. */
#include "fuzz/attack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	attack(data, size, true);
	return 0;
}
