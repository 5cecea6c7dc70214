# frozen_string_literal: true

module StaticTracing
  # The type of a Float that is fired as an integer: Scaled[1000] fires 1.5 as 1500, rounded. For tracers, most of
  # which cannot compute with the bits of a Float.
  class Scaled
    attr_reader :factor

    def self.[](factor)
      new(factor)
    end

    def initialize(factor)
      @factor = Float(factor)
      freeze
    end

    def ==(other)
      other.is_a?(Scaled) && factor == other.factor
    end
    alias eql? ==

    def hash
      factor.hash
    end

    def inspect
      "StaticTracing::Scaled[#{factor}]"
    end
    alias to_s inspect
  end

  # A block that hears the hits of a tracepoint, of the Ractor in which it was made: see Tracepoint#listen.
  class Listener
    # Of this Ractor, as keys: threads may change it.
    def self.all
      Ractor.current[:static_tracing_listeners] ||= {}.compare_by_identity
    end
    all

    attr_reader :tracepoint

    def initialize(tracepoint, block)
      raise ArgumentError, "no block given" unless block
      @tracepoint = tracepoint
      @block = block
      error = tracepoint.__send__(:native_listen, object_id)
      raise USDTError, error if error
      Listener.all[self] = true
    end

    def stop
      tracepoint.__send__(:native_unlisten, object_id) if Listener.all.delete(self)
      nil
    end

    def call(values)
      @block.call(*values)
    end
  end

  # A probe. Frozen, and may be shared with Ractors.
  class Tracepoint
    class TracepointMissingError < Error
      def initialize(provider, name)
        super("provider #{provider} has no tracepoint named #{name}")
      end
    end

    # A value is not of the declared class.
    class InvalidArgumentError < Error
      def initialize(value, type)
        super(type ? "expected #{type}, not #{value.inspect} (#{value.class})" : "one value too many: #{value.inspect}")
      end
    end

    # A type that cannot be declared.
    class InvalidArgType < Error; end

    MOST = 32
    KINDS = { Integer => :integer, String => :string, Symbol => :string, Float => :float }.freeze

    class << self
      def fetch(provider, name)
        Provider.fetch(provider).tracepoints.fetch(name.to_s) { raise TracepointMissingError.new(provider, name) }
      end

      # provider: a Provider, or the name of one, which is made if there is none.
      def new(provider, name, *types)
        provider = Provider.register(provider) unless provider.is_a?(Provider)
        raise InvalidArgType, "a tracepoint has at most #{MOST} arguments" if types.size > MOST
        found = provider.tracepoint(name = name.to_s) { super(provider, name, *types) }
        return found if found.args == types
        raise USDTError, "#{provider}:#{name} is already there, with other types: #{found.args.join(", ")}"
      end

      # Internal: what C is told of a type.
      def kind(type)
        return type.factor if type.is_a?(Scaled)
        KINDS.fetch(type) { raise InvalidArgType, "#{type.inspect} is none of #{KINDS.keys.join(", ")}, Scaled" }
      end
    end

    attr_reader :provider_name, :name, :args

    def initialize(provider, name, *types)
      @provider_name = provider.name
      @name = name.dup.freeze
      @args = types.freeze
      error = native_create(provider, @name, types.map { |type| Tracepoint.kind(type) })
      raise USDTError, error if error
      freeze
    end

    def provider
      Provider.fetch(provider_name)
    end

    # Has the block called with the values of each hit in this Ractor, as a tracer gets them, whether there is a tracer
    # or not. Returns a Listener, whose stop ends that. What the block raises is raised by fire.
    def listen(&block)
      Listener.new(self, block)
    end

    def inspect
      "#<#{self.class} #{provider_name}:#{name}(#{args.join(", ")})>"
    end

    private

    # By native, after a hit.
    def heard(*values)
      all = Listener.all
      all.keys.each { |listener| listener.call(values) if listener.tracepoint.equal?(self) && all.key?(listener) }
    end

    # In native, or without: enabled?, fire(*values), fire_measured(since, *values).
  end
end
