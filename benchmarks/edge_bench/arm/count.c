/* A plugin of QEMU that counts the instructions of a 64-bit Arm program, by kind, between its calls of getsid(MARK).

   Writes a line at each call: "MARK ALL DOT FLOAT INTEGER MEMORY", what was executed since the call before. Which codes
   are of which kind: Arm Architecture Reference Manual for A-profile, C4.1. The prototypes are those of version 1 of the
   plugin interface (qemu-plugin.h), which Debian 12 does not ship. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void on_translation(plugin_id, struct qemu_plugin_tb *);
typedef void on_syscall(plugin_id, unsigned cpu, int64_t number, uint64_t first, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translation *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_syscall *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *where, uint64_t what);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

enum { ADD = 0, GETSID = 156 };
enum kind { ALL, DOT, FLOAT, INTEGER, MEMORY, KINDS };

/* An instruction is of a kind if its bits under a mask have a value. */
static const struct { enum kind kind; uint32_t mask, value; } codes[] = {
    { ALL, 0, 0 },
    { DOT, 0x9f20fc00, 0x0e009400 },     /* SDOT, UDOT of vectors */
    { DOT, 0x9f00f400, 0x0f00e000 },     /* by an element */
    { FLOAT, 0xbfa0fc00, 0x0e20cc00 },   /* FMLA of vectors, single and double precision */
    { FLOAT, 0xbf80f400, 0x0f801000 },   /* by an element */
    { FLOAT, 0xbfe0fc00, 0x0e400c00 },   /* FMLA of vectors, half precision */
    { FLOAT, 0xbfc0f400, 0x0f001000 },   /* by an element */
    { INTEGER, 0x9f20fc00, 0x0e20c000 }, /* SMULL, UMULL of vectors */
    { INTEGER, 0x9f20fc00, 0x0e208000 }, /* SMLAL, UMLAL */
    { INTEGER, 0x9f00f400, 0x0f00a000 }, /* SMULL, UMULL by an element */
    { INTEGER, 0x9f00f400, 0x0f002000 }, /* SMLAL, UMLAL */
    { MEMORY, 0x0a000000, 0x08000000 },  /* loads and stores */
};

static uint64_t counts[KINDS];
static FILE *out;

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    uint64_t found[KINDS] = { 0 };
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        for (size_t code = 0; code < sizeof codes / sizeof *codes; code++)
            found[codes[code].kind] += (word & codes[code].mask) == codes[code].value;
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (found[kind])
            qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &counts[kind], found[kind]);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g)
{
    (void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g;
    if (number != GETSID)
        return;
    fprintf(out, "%d", (int32_t)first);
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(out, " %llu", (unsigned long long)counts[kind]);
        counts[kind] = 0;
    }
    fputc('\n', out);
    fflush(out);
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
    (void)info;
    if (count != 1 || strncmp(arguments[0], "out=", 4) || !(out = fopen(arguments[0] + 4, "w")))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
