/*
 * usdt_tracepoints_macos_arm64.s - the stubs of one probe, for macOS on arm64: the template
 * usdt_stub_dtrace_arm64 of usdt_tracepoints_arm64.s, which says what is in it, in the words of the
 * assembler for Mach-O. tests/cross.t sees that both have the same bytes.
 */
	.const
	.globl	_usdt_stub_dtrace_arm64
	.private_extern	_usdt_stub_dtrace_arm64
	.p2align	6
_usdt_stub_dtrace_arm64:
	.long	Lend - Lprobe
	.long	0
	.long	Lsite - Lprobe
	.long	Lisenabled - Lprobe
	.long	Lisenabled_site - Lprobe
Lprobe:
	.long	0xd503245f	/* bti	c */
Lsite:
	.long	0xd503201f	/* nop */
	.long	0xd65f03c0	/* ret */
	.long	0xd4200000	/* brk	#0 */
Lisenabled:
	.long	0xd503245f	/* bti	c */
Lisenabled_site:
	.long	0xd2800000	/* movz	x0, #0 */
	.long	0xd65f03c0	/* ret */
	.fill	36, 1, 0
Lend:
