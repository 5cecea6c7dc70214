/*
 * usdt_tracepoints_macos_x86_64.s - the stubs of one probe, for macOS on x86_64: the template
 * usdt_stub_dtrace_x86_64 of usdt_tracepoints_x86_64.s, which says what is in it, in the words of the
 * assembler for Mach-O. tests/cross.t sees that both have the same bytes.
 */
	.const
	.globl	_usdt_stub_dtrace_x86_64
	.private_extern	_usdt_stub_dtrace_x86_64
	.p2align	6
_usdt_stub_dtrace_x86_64:
	.long	Lend - Lprobe
	.long	0
	.long	Lsite - Lprobe
	.long	Lisenabled - Lprobe
	.long	Lisenabled_site - Lprobe
Lprobe:
	endbr64
	popq	%r11
	.byte	0x66, 0x90
Lsite:
	nop
	nop
	nop
	nop
	nop
	pushq	%r11
	ret
	.fill	32 - (Lsite - Lprobe) - 8, 1, 0xcc
Lisenabled:
	endbr64
	xorq	%rax, %rax
Lisenabled_site:
	nop
	nop
	nop
	ret
	.fill	32 - (Lisenabled_site - Lisenabled) - 4, 1, 0xcc
Lend:
