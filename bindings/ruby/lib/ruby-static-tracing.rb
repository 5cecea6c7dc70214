# frozen_string_literal: true

# USDT probes made at run time, by libusdt; the API of the gem ruby-static-tracing.
#
# What a program may call is public; it is made in the main Ractor, and checked and fired in any. Where there is no
# tracing all of it works and does nothing: StaticTracing.available?
module StaticTracing
  class Error < StandardError; end
  # What libusdt refuses: a name, or two definitions of one probe.
  class USDTError < Error; end
end

require "monitor"
require "ruby-static-tracing/version"
require "ruby-static-tracing/provider"
require "ruby-static-tracing/tracepoint"
begin
  raise LoadError, "STATIC_TRACING=off" if ENV["STATIC_TRACING"] == "off"
  require "ruby-static-tracing/native"
rescue LoadError => e
  StaticTracing.const_set(:NOT_LOADED, "there is no extension: #{e.message}".freeze)
  require "ruby-static-tracing/without"
end
require "ruby-static-tracing/tracers"
require "ruby-static-tracing/tracer"
require "ruby-static-tracing/blocks"
require "ruby-static-tracing/configuration"

module StaticTracing
  @lock = Monitor.new
  @enabled = true

  class << self
    # Internal: held while wrappers change.
    attr_reader :lock

    # True if tracers can see this process's probes; otherwise unavailable_reason says why not.
    def available?
      unavailable_reason.nil?
    end

    # Found out by publishing a probe, once.
    def unavailable_reason
      return @unavailable_reason if defined?(@unavailable_reason)
      @unavailable_reason = defined?(NOT_LOADED) ? NOT_LOADED : Provider.try_one
    end

    # Whether generated probes are in place: methods wrapped. Not whether anybody traces them.
    def enabled?
      @enabled
    end

    # Wraps what was registered with a tracer.
    def enable!
      @lock.synchronize do
        @enabled = true
        Tracers.enable!
      end
    end

    # Takes all wrappers off: methods cost what they did before.
    def disable!
      @lock.synchronize do
        @enabled = false
        Tracers.disable!
      end
    end

    def toggle_tracing!
      @lock.synchronize { enabled? ? disable! : enable! }
    end

    def configure
      yield Configuration.instance
    end
  end
end
