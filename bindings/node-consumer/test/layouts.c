/* layouts.c - layouts.h against <dtrace.h> of DTrace 2 for Linux, by compiling; and the constants of libdtrace.c. */
#include <dtrace.h>
#include <layouts.h>

#define AT(ours, member, theirs, name) \
    _Static_assert(offsetof(struct ours, member) == offsetof(theirs, name), #name); \
    _Static_assert(sizeof(((struct ours *)0)->member) == sizeof(((theirs *)0)->name), #name)

AT(linux_probe, provider, dtrace_probedesc_t, prv);
AT(linux_probe, module, dtrace_probedesc_t, mod);
AT(linux_probe, function, dtrace_probedesc_t, fun);
AT(linux_probe, name, dtrace_probedesc_t, prb);

AT(linux_record, action, dtrace_recdesc_t, dtrd_action);
AT(linux_record, size, dtrace_recdesc_t, dtrd_size);
AT(linux_record, offset, dtrace_recdesc_t, dtrd_offset);
AT(linux_record, arg, dtrace_recdesc_t, dtrd_arg);
_Static_assert(sizeof(struct linux_record) == sizeof(dtrace_recdesc_t), "records are in arrays");

AT(linux_data, probe, dtrace_probedata_t, dtpda_pdesc);
AT(linux_data, data, dtrace_probedata_t, dtpda_data);

AT(linux_aggregation, description, dtrace_aggdata_t, dtada_desc);
AT(linux_aggregation, key, dtrace_aggdata_t, dtada_key);
AT(linux_aggregation, data, dtrace_aggdata_t, dtada_data);
AT(linux_aggregation_description, variable, dtrace_aggdesc_t, dtagd_varid);
AT(linux_aggregation_description, signature, dtrace_aggdesc_t, dtagd_sig);
AT(linux_aggregation_description, normal, dtrace_aggdesc_t, dtagd_normal);
AT(linux_aggregation_description, key_count, dtrace_aggdesc_t, dtagd_nkrecs);
AT(linux_aggregation_description, keys, dtrace_aggdesc_t, dtagd_krecs);
AT(linux_aggregation_description, records, dtrace_aggdesc_t, dtagd_drecs);

AT(fault, probe, dtrace_errdata_t, dteda_pdesc);
AT(fault, cpu, dtrace_errdata_t, dteda_cpu);
AT(fault, number, dtrace_errdata_t, dteda_fault);
AT(fault, address, dtrace_errdata_t, dteda_addr);
AT(fault, message, dtrace_errdata_t, dteda_msg);

AT(drop, cpu, dtrace_dropdata_t, dtdda_cpu);
AT(drop, kind, dtrace_dropdata_t, dtdda_kind);
AT(drop, drops, dtrace_dropdata_t, dtdda_drops);
AT(drop, total, dtrace_dropdata_t, dtdda_total);
AT(drop, message, dtrace_dropdata_t, dtdda_msg);

_Static_assert(sizeof(dtrace_proginfo_t) <= 64, "libdtrace.c has room for it");
_Static_assert(DTRACE_VERSION == 3 && DTRACE_PROBESPEC_NAME == 3, "how it is called");
_Static_assert(DTRACE_CONSUME_THIS == 0 && DTRACE_CONSUME_NEXT == 1 && DTRACE_HANDLE_OK == 0, "what callbacks return");
_Static_assert(DTRACE_AGGWALK_REMOVE == 3 && DTRACE_WORKSTATUS_DONE == 1 && DTRACEDROP_DBLERROR == 9, "the same");
_Static_assert(DTRACEACT_DIFEXPR == 1 && DTRACEACT_EXIT == 2 && DTRACEACT_TRACEMEM == 6, "actions");
_Static_assert(DTRACEACT_USTACK == 0x101 && DTRACEACT_JSTACK == 0x102 && DTRACEACT_USYM == 0x103, "actions");
_Static_assert(DTRACEACT_UMOD == 0x104 && DTRACEACT_UADDR == 0x105 && DTRACEACT_STACK == 0x401, "actions");
_Static_assert(DTRACEACT_SYM == 0x402 && DTRACEACT_MOD == 0x403 && DTRACEACT_AGGREGATION == 0x700, "actions");
_Static_assert(DTRACE_TRACEMEM_SIZE == 3 && DTRACE_TRACEMEM_SSIZE == 4, "arguments of tracemem()");
