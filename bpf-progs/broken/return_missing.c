// SPDX-License-Identifier: MIT OR Apache-2.0
/* Ends without having put a verdict into r0. */
#include "broken.h"

SEC("xdp")
__attribute__((naked)) int return_missing(void)
{
	asm volatile("exit"); /* refused here */
}

LICENSE("GPL");
