/* As much of binutils' as <dtrace.h> needs to be read. */
typedef struct ctf_dict ctf_file_t;
typedef long ctf_id_t;
