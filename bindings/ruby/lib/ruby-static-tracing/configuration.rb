# frozen_string_literal: true

module StaticTracing
  # How generated probes are turned on and off.
  class Configuration
    module Modes
      ON = "ON"         # methods are wrapped when they are registered (the default)
      OFF = "OFF"       # they are not
      SIGNAL = "SIGNAL" # they are, and are not, after each signal; not at first
    end

    class InvalidModeError < Error; end

    MODES = [Modes::ON, Modes::OFF, Modes::SIGNAL].freeze

    class << self
      attr_reader :instance
      private :new
    end

    attr_reader :mode, :signal
    # True: generated probes that are registered from now on have what they cost, in nanoseconds, as first argument.
    attr_accessor :cost

    def initialize
      @mode = Modes::ON
      @signal = "PROF"
      @cost = false
    end

    def mode=(mode)
      raise InvalidModeError, "#{mode.inspect} is none of #{MODES.join(", ")}" unless MODES.include?(mode)
      untrap
      @mode = mode
      mode == Modes::ON ? StaticTracing.enable! : StaticTracing.disable!
      trap_signal
    end

    def signal=(signal)
      untrap
      @signal = signal
      trap_signal
    end

    def add_tracer(tracer)
      Tracers.add(tracer)
      tracer.enable! if StaticTracing.enabled?
    end

    private

    # In a thread: what runs in the handler itself may take no lock.
    def trap_signal
      @before = trap(@signal) { Thread.new { StaticTracing.toggle_tracing! } } if mode == Modes::SIGNAL
    end

    def untrap
      trap(@signal, @before || "DEFAULT") if mode == Modes::SIGNAL
    end

    @instance = new
  end
end
