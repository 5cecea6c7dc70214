/*
 * usdt_tracepoints_arm64.s - the stubs of one probe, for arm64: templates that usdt_probe.c copies,
 * once per probe. Data here, code only in the copy; position independent. Each template is a
 * struct usdt_stub (usdt_internal.h): five offsets, then a slot of 64 bytes.
 *
 * The instructions are written as words, so that the assembler of any machine takes this file:
 * the tests of all machines read it.
 */
	.section .rodata

/*
 * Linux. The site is one nop. The is-enabled stub compares it itself, and then lets DTrace, which
 * writes a 1 through the pointer in x0 at the site, have its say.
 */
	.globl	usdt_stub_linux_arm64
	.hidden	usdt_stub_linux_arm64
	.balign	64
usdt_stub_linux_arm64:
	.long	.Llinux_end - .Llinux
	.long	.Llinux_probe - .Llinux
	.long	.Llinux_site - .Llinux
	.long	.Llinux_isenabled - .Llinux
	.long	.Llinux_isenabled_site - .Llinux
.Llinux:
.Llinux_probe:
	.long	0xd503245f	/* bti	c */
.Llinux_site:
	.long	0xd503201f	/* nop */
	.long	0xd65f03c0	/* ret */
	.long	0xd4200000	/* brk	#0 */
.Llinux_isenabled:
	.long	0xd503245f	/* bti	c */
	.long	0x18ffff80	/* ldr	w0, .Llinux_site */
	.long	0x528403e1	/* mov	w1, #0x201f */
	.long	0x72baa061	/* movk	w1, #0xd503, lsl #16 */
	.long	0x6b01001f	/* cmp	w0, w1 */
	.long	0x1a9f07e0	/* cset	w0, ne */
	.long	0xf81f0fe0	/* str	x0, [sp, #-16]! */
	.long	0x910003e0	/* mov	x0, sp */
.Llinux_isenabled_site:
	.long	0xd503201f	/* nop */
	.long	0xf84107e0	/* ldr	x0, [sp], #16 */
	.long	0xd65f03c0	/* ret */
	.long	0xd4200000	/* brk	#0 */
.Llinux_end:

/* macOS: the kernel accepts a nop as the site of a probe, and answers an is-enabled probe by setting
   x0 to 1 where it finds `movz x0, #0`. */
	.globl	usdt_stub_dtrace_arm64
	.hidden	usdt_stub_dtrace_arm64
	.balign	64
usdt_stub_dtrace_arm64:
	.long	.Ldtrace_end - .Ldtrace
	.long	.Ldtrace_probe - .Ldtrace
	.long	.Ldtrace_site - .Ldtrace
	.long	.Ldtrace_isenabled - .Ldtrace
	.long	.Ldtrace_isenabled_site - .Ldtrace
.Ldtrace:
.Ldtrace_probe:
	.long	0xd503245f	/* bti	c */
.Ldtrace_site:
	.long	0xd503201f	/* nop */
	.long	0xd65f03c0	/* ret */
	.long	0xd4200000	/* brk	#0 */
.Ldtrace_isenabled:
	.long	0xd503245f	/* bti	c */
.Ldtrace_isenabled_site:
	.long	0xd2800000	/* movz	x0, #0 */
	.long	0xd65f03c0	/* ret */
	.skip	64 - (. - .Ldtrace)
.Ldtrace_end:

	.section .note.GNU-stack, "", @progbits
