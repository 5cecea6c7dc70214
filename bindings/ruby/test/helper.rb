# frozen_string_literal: true

require "minitest/autorun"
require "rbconfig"
require "ruby-static-tracing"
require "tracer"

# TAP=1: what .ci/run counts.
class Tap < Minitest::AbstractReporter
  def initialize
    super
    @passed = true
  end

  def record(result)
    @passed &&= result.passed? || result.skipped?
    puts "#{"not " unless result.passed? || result.skipped?}ok - #{result.klass}: #{result.name[5..].tr("_", " ")}" +
         (result.skipped? ? " # skip #{result.failure.message}" : "")
    puts result.failures.join("\n").gsub(/^/, "# ") unless result.passed? || result.skipped?
  end

  def passed?
    @passed
  end
end

if ENV["TAP"]
  Minitest.extensions << "tap"
  def Minitest.plugin_tap_init(_options)
    reporter.reporters.replace([Tap.new])
  end
end

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
  command = [RbConfig.ruby, "-W0", "-I#{lib}", *options, "-rruby-static-tracing", "-e", code]
  IO.popen([env, *command, err: %i[child out]], &:read)
end
