/*
 * usdt_tracepoints_x86_64.s - the stubs of one probe, for x86_64: templates that usdt_probe.c
 * copies, once per probe. Data here, code only in the copy; position independent. Each template
 * is a struct usdt_stub (usdt_internal.h): five offsets, then a slot of 64 bytes.
 *
 * The probe stub is called as a C function. It takes its return address off the stack before the
 * site, because tracers look for the stack arguments at the stack pointer there; `ret` still pairs
 * with its call.
 */
	.section .rodata

/*
 * Linux. The site is a nop and then a 10-byte nop, which newer kernels can turn into a direct
 * call (usdt_elf.c chooses which of the two the notes name); a tracer may so change byte 0 or
 * byte 1, and both lie in the aligned word that usdt_is_enabled() loads. The 10-byte nop must
 * not cross a page: it cannot, in a slot of 64 bytes.
 * A direct call is two instructions, `lea -128(%rsp), %rsp; call`. A thread may be between them when
 * the site becomes a nop again, because the probe is disabled: so the last five bytes of the nop, where
 * the call was, are `sub $-128, %rsp`, which a nop may have as its address.
 * The is-enabled stub compares that word itself, and then lets DTrace, which writes a 1 through
 * the pointer in %rdi at the site, have its say.
 */
	.globl	usdt_stub_linux_x86_64
	.hidden	usdt_stub_linux_x86_64
	.balign	64
usdt_stub_linux_x86_64:
	.long	.Llinux_end - .Llinux
	.long	.Llinux_probe - .Llinux
	.long	.Llinux_site - .Llinux
	.long	.Llinux_isenabled - .Llinux
	.long	.Llinux_isenabled_site - .Llinux
.Llinux:
.Llinux_probe:
	endbr64
	popq	%r11
	.byte	0x66, 0x90
.Llinux_site:
	nop
	.byte	0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x3e, 0x48, 0x83, 0xec, 0x80
	pushq	%r11
	ret
	.skip	32 - (. - .Llinux), 0xcc
.Llinux_isenabled:
	endbr64
	xorl	%eax, %eax
	cmpl	$0x0f2e6690, .Llinux_site(%rip)
	setne	%al
	pushq	%rax
	movq	%rsp, %rdi
.Llinux_isenabled_site:
	nop
	popq	%rax
	ret
	.skip	64 - (. - .Llinux), 0xcc
.Llinux_end:

/*
 * The systems whose kernel has DTrace (macOS, illumos, FreeBSD). The kernel emulates a one-byte
 * nop fastest, and answers an is-enabled probe by setting %rax to 1 at its site.
 */
	.globl	usdt_stub_dtrace_x86_64
	.hidden	usdt_stub_dtrace_x86_64
	.balign	64
usdt_stub_dtrace_x86_64:
	.long	.Ldtrace_end - .Ldtrace
	.long	.Ldtrace_probe - .Ldtrace
	.long	.Ldtrace_site - .Ldtrace
	.long	.Ldtrace_isenabled - .Ldtrace
	.long	.Ldtrace_isenabled_site - .Ldtrace
.Ldtrace:
.Ldtrace_probe:
	endbr64
	popq	%r11
	.byte	0x66, 0x90
.Ldtrace_site:
	nop
	nop
	nop
	nop
	nop
	pushq	%r11
	ret
	.skip	32 - (. - .Ldtrace), 0xcc
.Ldtrace_isenabled:
	endbr64
	xorq	%rax, %rax
.Ldtrace_isenabled_site:
	nop
	nop
	nop
	ret
	.skip	64 - (. - .Ldtrace), 0xcc
.Ldtrace_end:

/* This object keeps IBT and shadow stacks on for the program it is linked into. */
	.section .note.gnu.property, "a", @note
	.balign	8
	.long	4, 16, 5
	.asciz	"GNU"
	.long	0xc0000002, 4, 3, 0

	.section .note.GNU-stack, "", @progbits
