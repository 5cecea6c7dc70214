# frozen_string_literal: true

module StaticTracing
  # In place of the extension, where it is not there: the same classes and errors, and nothing is published.
  module_function

  def nsec
    Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
  end

  class Provider
    def enable
      false
    end
    alias disable enable
    alias enabled? enable

    def error
      NOT_LOADED
    end

    private

    def native_create(_name); end

    def native_free; end
  end

  class Tracepoint
    CLASSES = Ractor.make_shareable({ integer: [Integer], string: [String, Symbol] })
    NUMBERS = [Float, Integer].freeze
    undef_method :initialize_copy

    def enabled?
      false
    end

    def fire(*values)
      values.each_with_index do |value, i|
        raise InvalidArgumentError.new(value, nil) if i >= args.size
        next if value.nil? || CLASSES.fetch(Tracepoint.kind(args[i]), NUMBERS).any? { |klass| klass === value }
        raise InvalidArgumentError.new(value, args[i])
      end
      false
    end

    def fire_measured(_since, *values)
      fire(nil, *values)
    end

    private

    def native_create(_provider, _name, _kinds); end

    def native_listen(_id); end

    def native_unlisten(_id); end
  end
end
