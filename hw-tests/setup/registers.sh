# wide_registers.so, for User-mode Linux on processors with more registers than its kernel knows.
#
# Before 6.13 it keeps 2,696 bytes of them for each process of the guest. The host's kernel takes back
# all or nothing, and where it has AMX all are 11,008 bytes: the guest's first program dies. Preloaded,
# this adds the rest, which stays as the processor begins; no guest can ask for AMX.
#
# In: RIG_OUT, the folder for it.

cd "$RIG_OUT"
cat >wide_registers.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long (*ptrace_call)(int request, int process, void *address, void *data);

static ptrace_call next;
/* Zeros behind what a guest has; larger than any processor's. */
static unsigned char wide[65536];
/* How many bytes the host takes back; 0 as long as that is not known. */
static size_t all;

__attribute__((constructor)) static void find(void)
{
    next = (ptrace_call)dlsym(RTLD_NEXT, "ptrace");
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list rest;
    va_start(rest, request);
    int process = va_arg(rest, int);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (request != PTRACE_SETREGSET || (size_t)address != NT_X86_XSTATE)
        return next(request, process, address, data);

    struct iovec *some = data;
    if (all == 0) {
        struct iovec probe = {wide, sizeof wide};
        if (next(PTRACE_GETREGSET, process, address, &probe) < 0)
            return -1;
        all = probe.iov_len;
        memset(wide, 0, sizeof wide);
    }
    if (some->iov_len >= all)
        return next(request, process, address, data);
    memcpy(wide, some->iov_base, some->iov_len);
    struct iovec whole = {wide, all};
    return next(request, process, address, &whole);
}
END
gcc -O2 -Wall -shared -fPIC -o wide_registers.so wide_registers.c -ldl
rm wide_registers.c
