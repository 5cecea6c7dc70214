# frozen_string_literal: true

require "ruby-static-tracing/names"
require "ruby-static-tracing/wrapper"

module StaticTracing
  module Tracer
    # A tracer wraps methods of classes: a subclass says what the wrapper does while its probe is traced.
    class Base
      class << self
        # Wraps methods of klass, each with a tracepoint of its name. Their provider has the name of the class,
        # unless another is given (a Provider, or its name); it is published. A method that is not there yet, or is
        # defined again, is wrapped by the next register or StaticTracing.enable!.
        def register(klass, *methods, provider: nil)
          provider ||= Names.provider(klass)
          provider = Provider.register(provider) unless provider.is_a?(Provider)
          StaticTracing.lock.synchronize do
            Tracers.add(self)
            wrapper = wrappers[klass] ||= Wrapper.new(self, klass)
            methods.flatten.each { |name| wrapper.add(name.to_sym, provider) }
            provider.enable
            wrapper.enable! if StaticTracing.enabled?
          end
        end

        def enable!
          wrappers.each_value(&:enable!)
        end

        def disable!
          wrappers.each_value(&:disable!)
        end

        # The class of the probe's last value. Those before are the method's name and, if asked for, the cost.
        def type
          raise NotImplementedError
        end

        # Ruby code: a traced call. `call` calls the method as it was called; fire.(since, value) fires, where since
        # is the time (StaticTracing.nsec) at which the probe's own work began, less what was not its own.
        def code(call, fire)
          raise NotImplementedError
        end

        private

        def wrappers
          @wrappers ||= {}.compare_by_identity
        end
      end
    end

    # Fires (method name, nanoseconds) when a method returns or raises.
    class Latency < Base
      def self.type
        Integer
      end

      def self.code(call, fire)
        <<~RUBY
          _start_ = ::StaticTracing.nsec
          begin
            #{call}
          ensure
            _took_ = ::StaticTracing.nsec - _start_
            #{fire.("_start_ + _took_", "_took_")}
          end
        RUBY
      end
    end

    # Fires (method name, stack) when a method is called: its callers, one to a line, the nearest first.
    class Stack < Base
      def self.type
        String
      end

      def self.code(call, fire)
        <<~RUBY
          #{fire.("::StaticTracing.nsec", "::Kernel.caller.join(?\\n)")}
          #{call}
        RUBY
      end
    end

    # To be included at the end of a class: wraps its public methods.
    module Concerns
      def self.concern(tracer)
        Module.new do
          define_singleton_method(:included) do |base|
            super(base)
            methods = base.public_instance_methods(false)
            warn "#{base}: no methods to trace before this include", uplevel: 1 if methods.empty?
            tracer.register(base, methods)
          end
        end
      end

      Latency = concern(Tracer::Latency)
      Stack = concern(Tracer::Stack)
    end
  end

  # By either name; both are on from the beginning.
  module Tracers
    Latency = Tracer::Latency
    Stack = Tracer::Stack
    Concerns = Tracer::Concerns
    add(Latency)
    add(Stack)
  end
end
