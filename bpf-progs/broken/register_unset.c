// SPDX-License-Identifier: MIT OR Apache-2.0
/* Declares a helper with an argument too few: the compiler leaves the register of the missing one unset. */
#include "broken.h"

static long (*const map_update)(void *map, const void *key, const void *value) = (void *)2;

ARRAY(packets, u64);

SEC("xdp")
int register_unset(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 one = 1;

	map_update(&packets, &key, &one); /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
