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

    def inspect
      "#<#{self.class} #{provider_name}:#{name}(#{args.join(", ")})>"
    end

    # In native, or without: enabled?, fire(*values), fire_measured(since, *values).
  end
end
