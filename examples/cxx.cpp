/*
 * cxx.cpp - probes in C++11: a provider that goes with its scope, and probes whose arguments have the types that
 * their declaration says.
 *
 *     jobs:job_start  int id, const char *name
 *     jobs:job_done   int id, bool ok, unsigned length
 */
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <type_traits>
#include <usdt.h>

namespace usdt {

class Provider {
public:
    Provider(const char *name, const char *module) : provider(usdt_create_provider(name, module)) {}
    ~Provider() { usdt_provider_free(provider); }
    Provider(const Provider &) = delete;
    Provider &operator=(const Provider &) = delete;

    bool enable() { return usdt_provider_enable(provider) == 0; }
    std::string error() const { return usdt_errstr(provider); }

private:
    template <class... Types> friend class Probe;
    usdt_provider_t *provider;
};

/* What tracers are told of a type: a string, a pointer, or the width and sign of an integer. */
template <class T> std::string type_name()
{
    if (std::is_same<T, std::string>::value || std::is_same<T, const char *>::value)
        return "const char *";
    if (std::is_pointer<T>::value)
        return "void *";
    static_assert(std::is_pointer<T>::value || std::is_integral<T>::value || std::is_enum<T>::value ||
                  std::is_same<T, std::string>::value, "a probe takes integers, pointers and strings");
    return (std::is_signed<T>::value ? "int" : "uint") + std::to_string(8 * sizeof(T)) + "_t";
}

template <class T> void *value(T v) { return reinterpret_cast<void *>(static_cast<uintptr_t>(v)); }
template <class T> void *value(T *v) { return const_cast<void *>(static_cast<const void *>(v)); }
inline void *value(const std::string &v) { return const_cast<char *>(v.c_str()); }

/* A probe; fired by a call. A name or provider that is refused makes a probe that is never enabled. */
template <class... Types> class Probe {
public:
    Probe(Provider &owner, const char *function, const char *name)
    {
        const std::string names[] = { type_name<Types>()..., "" };
        const char *types[sizeof...(Types) + 1];
        for (size_t i = 0; i <= sizeof...(Types); i++)
            types[i] = names[i].c_str();
        definition = usdt_create_probe(function, name, sizeof...(Types), types);
        usdt_provider_add_probe(owner.provider, definition);
        probe = usdt_probedef_probe(definition);
    }
    ~Probe() { usdt_probe_release(definition); }
    Probe(const Probe &) = delete;
    Probe &operator=(const Probe &) = delete;

    /* A call evaluates its arguments. Where they are expensive: if (probe) probe(...). */
    explicit operator bool() const { return usdt_is_enabled(probe) != 0; }
    void operator()(const Types &...arguments) const
    {
        if (usdt_is_enabled(probe)) {
            void *argv[] = { value(arguments)..., nullptr };
            usdt_fire_probe(probe, sizeof...(Types), argv);
        }
    }

private:
    usdt_probedef_t *definition;
    usdt_probe_t *probe;
};

} // namespace usdt

/* Runs jobs for so many seconds (default: 10). */
int main(int argc, char **argv)
{
    usdt::Provider jobs("jobs", "main");
    usdt::Probe<int, std::string> start(jobs, "run", "job_start");
    usdt::Probe<int, bool, unsigned> done(jobs, "run", "job_done");
    if (!jobs.enable())
        std::cerr << "no probes: " << jobs.error() << '\n'; // harmless: the jobs are run
    for (int id = 1; id <= 10 * (argc > 1 ? std::stoi(argv[1]) : 10); id++) {
        const std::string name = "job " + std::to_string(id);
        start(id, name);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        done(id, id % 5 != 0, static_cast<unsigned>(name.size()));
    }
}
