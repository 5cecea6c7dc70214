require_relative "lib/ruby-static-tracing/version"

Gem::Specification.new do |s|
  s.name = "libusdt"
  s.version = StaticTracing::VERSION
  s.summary = "USDT probes made at run time, with the API of ruby-static-tracing"
  s.description = "Providers and tracepoints for bpftrace, perf, bcc, gdb and DTrace; latency and stacks of methods. " \
                  "The library libusdt is in it."
  s.authors = ["The libusdt authors"]
  s.license = "MIT"
  s.required_ruby_version = ">= 3.1"
  s.extensions = ["ext/static_tracing/extconf.rb"]
  s.require_paths = ["lib"]
  # `rake build` puts the library there; without it `gem build` fails by the header that is missing.
  s.files = Dir["README.md", "{lib,examples}/**/*.rb", "ext/**/*.{c,h,s,rb}", "ext/static_tracing/libusdt/LICENSE"] |
            ["ext/static_tracing/libusdt/usdt.h"]
end
