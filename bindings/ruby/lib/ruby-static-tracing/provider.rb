# frozen_string_literal: true

require "monitor"

module StaticTracing
  # A set of tracepoints that is published together. There is one of each name, in a registry, until it is destroyed.
  class Provider
    class ProviderMissingError < Error
      def initialize(name)
        super("there is no provider named #{name}")
      end
    end

    @lock = Monitor.new
    @providers = {}

    class << self
      attr_reader :lock
      private :new

      # The provider of this name, made if there is none.
      def register(name)
        name = name.to_s
        lock.synchronize { @providers[name] ||= new(name) }
      end

      # The provider of this name, or the provider itself.
      def fetch(name)
        lock.synchronize { @providers.fetch(name.to_s) { raise ProviderMissingError, name } }
      end

      # All, by name.
      def providers
        lock.synchronize { @providers.dup }
      end

      # nil, or why a probe cannot be published. Not in the registry: nobody is to trace it.
      def try_one
        provider = new("ruby_static_tracing")
        provider.add_tracepoint("available")
        provider.enable ? nil : provider.error
      ensure
        provider&.send(:native_free)
      end

      # Internal: destroyed.
      def forget(provider)
        lock.synchronize { @providers.delete(provider.name) if @providers[provider.name].equal?(provider) }
      end
    end

    attr_reader :name
    alias namespace name
    alias to_s name

    def initialize(name)
      @name = name.dup.freeze
      @tracepoints = {}
      error = native_create(@name)
      raise USDTError, error if error
    end

    # Its tracepoints by name.
    def tracepoints
      Provider.lock.synchronize { @tracepoints.dup }
    end

    # Makes a tracepoint; of the same name and types, returns the one that is there. Tracers see it after the next
    # enable, which disturbs none that are attached.
    def add_tracepoint(name, *types)
      Tracepoint.new(self, name, *types)
    end

    # The file tracers attach to; nil if there is none. (One of several if tracepoints were added between calls of
    # enable: `usdt list` shows all.)
    def path
      return unless enabled?
      pattern = %r{ (/.*/#{Regexp.escape(name)}-\h{40}\.so)$}
      File.foreach("/proc/self/maps") { |line| return Regexp.last_match(1) if line =~ pattern }
      nil
    rescue SystemCallError
      nil
    end

    # Withdraws the probes for good. Its tracepoints stay, and never fire again.
    def destroy
      Provider.forget(self)
      native_free
    end

    def inspect
      "#<#{self.class} #{name}#{" enabled" if enabled?}>"
    end

    # Internal: a tracepoint enters under the registry's lock. Yields if there is none of that name.
    def tracepoint(name)
      Provider.lock.synchronize { @tracepoints[name] || (@tracepoints[name] = yield) }
    end
  end
end
