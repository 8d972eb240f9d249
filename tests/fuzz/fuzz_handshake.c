/* SPDX-License-Identifier: BSD-3-Clause */
/* The same before it is a peer: HELLO and handshake, as far as the script does them, and what comes instead. */
#include "fuzz/attack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	attack(data, size, false);
	return 0;
}
