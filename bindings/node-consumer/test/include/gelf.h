/* As much of libelf's as <dtrace.h> needs to be read. */
#include <elf.h>
typedef Elf64_Addr GElf_Addr;
typedef Elf64_Xword GElf_Xword;
typedef Elf64_Sym GElf_Sym;
