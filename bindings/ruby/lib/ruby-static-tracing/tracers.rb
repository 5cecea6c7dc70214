# frozen_string_literal: true

module StaticTracing
  # All tracers: what StaticTracing.enable! and disable! go through.
  module Tracers
    class InvalidTracerError < Error
      def initialize(tracer)
        super("#{tracer.inspect} does not inherit from StaticTracing::Tracer::Base")
      end
    end

    @tracers = []

    class << self
      def add(tracer)
        raise InvalidTracerError, tracer unless tracer.is_a?(Class) && tracer < Tracer::Base
        @tracers |= [tracer]
      end

      def enable!
        @tracers.each(&:enable!)
      end

      def disable!
        @tracers.each(&:disable!)
      end

      # Takes all off, and forgets them.
      def clean
        disable!
        @tracers = []
      end
    end
  end
end
