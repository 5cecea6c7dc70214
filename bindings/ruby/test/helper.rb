# frozen_string_literal: true

require "minitest/autorun"
require "rbconfig"
require "ruby-static-tracing"
require "tracer"

class TracingTest < Minitest::Test
  def setup
    skip_unless_traced
  end

  def skip_unless_traced(missing = Bpftrace.missing)
    return unless missing
    flunk "must not be skipped: #{missing}" if ENV["USDT_TEST_STRICT"] == "1"
    skip missing
  end

  # What bpftrace prints by `format` of each hit of the probe while the block runs.
  def hits(probe, format, count)
    tracer = Bpftrace.new("usdt:*:#{probe} { printf(\">\"); printf(#{format}); }")
    yield
    tracer.lines(count)
  ensure
    tracer&.stop
  end
end

# Another Ruby, in which there is nothing of this one.
def ruby(code, *options, env: {})
  lib = File.expand_path("../lib", __dir__)
  IO.popen([env, RbConfig.ruby, "-W0", "-I#{lib}", *options, "-rruby-static-tracing", "-e", code, err: %i[child out]], &:read)
end
