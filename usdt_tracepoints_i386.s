/*
 * usdt_tracepoints_i386.s - the stubs of one probe, for 32-bit x86: templates that usdt_probe.c
 * copies, once per probe. Data here, code only in the copy; position independent. Each template
 * is a struct usdt_stub (usdt_internal.h): five offsets, then a slot of 64 bytes.
 *
 * The probe stub is called as a C function. It takes its return address off the stack before the
 * site, because tracers look for the arguments at the stack pointer there; `ret` still pairs with
 * its call. The aligned word at the site is the one that usdt_is_enabled() loads.
 */
	.section .rodata
	.code32

/*
 * Linux. No DTrace for 32-bit programs here: the is-enabled stub compares the word itself. It
 * learns where it is by a call that returns, so that shadow stacks stay in step.
 */
	.globl	usdt_stub_linux_i386
	.hidden	usdt_stub_linux_i386
	.balign	64
usdt_stub_linux_i386:
	.long	.Llinux_end - .Llinux
	.long	.Llinux_probe - .Llinux
	.long	.Llinux_site - .Llinux
	.long	.Llinux_isenabled - .Llinux
	.long	.Llinux_isenabled_site - .Llinux
.Llinux:
	.skip	3, 0xcc
.Llinux_probe:
	endbr32
	popl	%ecx
.Llinux_site:
	nop
	pushl	%ecx
	ret
	.skip	16 - (. - .Llinux), 0xcc
.Llinux_isenabled:
	endbr32
	call	.Llinux_pc
.Llinux_here:
	cmpb	$0x90, .Llinux_site - .Llinux_here(%eax)
	setne	%al
	movzbl	%al, %eax
.Llinux_isenabled_site:
	nop
	ret
.Llinux_pc:
	movl	(%esp), %eax
	ret
	.skip	64 - (. - .Llinux), 0xcc
.Llinux_end:

/*
 * The systems whose kernel has DTrace (macOS, illumos, FreeBSD). The kernel answers an is-enabled
 * probe by setting %eax to 1 at its site.
 */
	.globl	usdt_stub_dtrace_i386
	.hidden	usdt_stub_dtrace_i386
	.balign	64
usdt_stub_dtrace_i386:
	.long	.Ldtrace_end - .Ldtrace
	.long	.Ldtrace_probe - .Ldtrace
	.long	.Ldtrace_site - .Ldtrace
	.long	.Ldtrace_isenabled - .Ldtrace
	.long	.Ldtrace_isenabled_site - .Ldtrace
.Ldtrace:
	.skip	3, 0xcc
.Ldtrace_probe:
	endbr32
	popl	%ecx
.Ldtrace_site:
	nop
	nop
	nop
	nop
	nop
	pushl	%ecx
	ret
	.skip	32 - (. - .Ldtrace), 0xcc
.Ldtrace_isenabled:
	endbr32
	xorl	%eax, %eax
.Ldtrace_isenabled_site:
	nop
	nop
	nop
	ret
	.skip	64 - (. - .Ldtrace), 0xcc
.Ldtrace_end:

/* This object keeps IBT and shadow stacks on for the program it is linked into. */
	.section .note.gnu.property, "a", @note
	.balign	4
	.long	4, 12, 5
	.asciz	"GNU"
	.long	0xc0000002, 4, 3

	.section .note.GNU-stack, "", @progbits
