# Compiles libusdt into the extension: its sources are those of the tree, or the gem's copy of them (rake build).
# Where that cannot be, nothing is built, the gem installs all the same, and StaticTracing.available? is false.

def why_not
  return "only MRI has C extensions" unless RUBY_ENGINE == "ruby"
  require "mkmf" # ends the program where Ruby's header files are missing
  libusdt = ["../../../..", "libusdt"].map { |dir| File.expand_path(dir, __dir__) }
  return "there are no sources of libusdt" unless (libusdt = libusdt.find { |dir| File.exist?("#{dir}/usdt.h") })

  $INCFLAGS << " -I#{libusdt.quote}"
  return "usdt.h does not compile" unless try_compile("#include <ruby.h>\n#include <usdt.h>\n_Static_assert(1, \"\");")

  $VPATH << libusdt
  $srcs = [File.join(__dir__, "static_tracing.c"), *Dir["#{libusdt}/usdt*.c"].sort]
  stubs = %w[x86_64 i386 aarch64].find { |arch| macro_defined?("__#{arch}__", "") }
  stubs = "arm64" if stubs == "aarch64"
  stubs = "macos_#{stubs}" if macro_defined?("__APPLE__", "")
  stubs = "usdt_tracepoints_#{stubs}"
  $objs = $srcs.map { |file| "#{File.basename(file, ".c")}.o" }
  $objs << "#{stubs}.o" if File.exist?("#{libusdt}/#{stubs}.s")
  # Another copy of the library in the process, of whatever version, is not to be called from here.
  append_ldflags("-Wl,-Bsymbolic")
  $libs << " -lpthread"
  create_makefile("ruby-static-tracing/native") do |lines|
    lines << "\n.SUFFIXES: .s\n.s.o:\n\t$(ECHO) assembling $(<)\n\t$(Q) $(CC) $(ARCH_FLAG) -c -o $@ $<\n"
  end
  nil
rescue LoadError, RuntimeError, SystemExit => e # RuntimeError: mkmf found no compiler
  e.message.lines.first.chomp
end

if (why = why_not)
  warn "ruby-static-tracing: there will be no tracing: #{why}"
  File.write("Makefile", "all install clean distclean:\n")
end
