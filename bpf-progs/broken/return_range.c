// SPDX-License-Identifier: MIT OR Apache-2.0
/* Says -1 for "no", where the kernel takes 0 for "no" and 1 for "yes". */
#include "broken.h"

SEC("cgroup/sock_create")
int return_range(void *ctx)
{
	return -1; /* refused here */
}

LICENSE("GPL");
