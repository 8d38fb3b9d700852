#include "source/cpu/cpu_open.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/capability.h"
#include "base/file.h"

static char last_message[256];
static bool speak;

static int on_message(enum libbpf_print_level level, const char *fmt, va_list args) {
    if (level != LIBBPF_WARN) /* what else it says is of its own work, over a thousand lines */
        return 0;
    if (speak)
        return vfprintf(stderr, fmt, args);
    vsnprintf(last_message, sizeof(last_message), fmt, args);
    last_message[strcspn(last_message, "\n")] = '\0';
    return 0;
}

void cpu_capture_messages(bool verbose) {
    speak = verbose;
    libbpf_set_print(on_message);
}

int cpu_check_kernel(struct err *err) {
    struct utsname u;
    unsigned major = 0, minor = 0;
    if (uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 && (major < 5 || (major == 5 && minor < 17)))
        return err_set(err, -ENOTSUP, "Run it on Linux 5.17 or newer, or use scry dump, which needs no BPF",
                       "This kernel (%s) is too old for scry's sampler", u.release);
    struct statfs fs;
    if (statfs("/sys", &fs) < 0 || fs.f_type != SYSFS_MAGIC)
        return err_set(err, -ENOTSUP,
                       "Mount it: mount -t sysfs sysfs /sys; give a container -v /sys:/sys:ro; or use scry dump, which "
                       "needs no BPF",
                       "/sys is not visible here, and with it the kernel's type information (/sys/kernel/btf/vmlinux)");
    if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
        return err_set(err, -ENOTSUP,
                       "Boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution's is), or use "
                       "scry dump, which needs no BPF",
                       "This kernel has no BTF type information (/sys/kernel/btf/vmlinux: %s)", strerror(errno));
    return 0;
}

int cpu_check_privileges(struct err *err) {
    char missing[64] = "";
    if (capability_confined())
        return err_set(err, -EPERM, "Run scry on the host as root, or use scry dump, which needs no BPF",
                       "scry runs in a user namespace, whose capabilities do not reach the kernel's sampling (rootless "
                       "container, unshare -r)");
    static const struct {
        unsigned cap;
        const char *name;
    } needed[] = {{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"}};
    if (capability_has(CAP_SYS_ADMIN))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (!capability_has(needed[i].cap)) {
            strcat(missing, missing[0] ? " and " : "");
            strcat(missing, needed[i].name);
        }
    if (!missing[0])
        return 0;
    if (geteuid() == 0)
        return err_set(
            err, -EPERM,
            "Start the container with --cap-add=BPF --cap-add=PERFMON --cap-add=SYS_PTRACE, or run scry on the "
            "host",
            "Sampling needs %s: scry is root, but that was taken from it", missing);
    return err_set(err, -EPERM, "Run it with sudo, or grant the capabilities once: " CAPABILITIES_GRANT,
                   "Sampling needs %s, which this user does not have", missing);
}

static int explain_privilege(int rc, struct err *err) {
    int missing = cpu_check_privileges(err);
    if (missing < 0)
        return missing;
    return err_set(
        err, rc,
        "Look at kernel lockdown (/sys/kernel/security/lockdown), seccomp profiles and the container's settings",
        "The kernel refuses BPF although the capabilities are there (%s)",
        last_message[0] ? last_message : strerror(-rc));
}

/* The kernel does not say so when lockdown is the reason; what it was booted with does. */
static bool locked_down(void) {
    _cleanup_(buf_free) struct buf text = {0};
    if (file_read("/sys/kernel/security/lockdown", 4096, &text, NULL) == 0)
        return strstr(buf_cstr(&text), "[confidentiality]") != NULL;
    return file_read("/proc/cmdline", 65536, &text, NULL) == 0 &&
           strstr(buf_cstr(&text), "lockdown=confidentiality") != NULL;
}

int cpu_explain_failure(int rc, struct err *err) {
    if (locked_down())
        return err_set(err, -EPERM, "Boot with lockdown=integrity or none, or use scry dump, which needs no BPF",
                       "The kernel is locked down (confidentiality): it lets no BPF program read memory");
    if (rc == -EPERM || rc == -EACCES)
        return explain_privilege(rc, err);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -EMFILE)
        return err_set(err, rc, "Raise the limit on open files (ulimit -n)", "Too many open files");
    return err_set(err, rc, "Run again with --verbose and report the messages",
                   "The kernel did not accept the sampler: %s", last_message[0] ? last_message : strerror(-rc));
}

void cpu_raise_file_limit(size_t n) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= n)
        return;
    limit.rlim_cur = MIN((rlim_t)n, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
}
