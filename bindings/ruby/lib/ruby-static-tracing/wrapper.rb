# frozen_string_literal: true

module StaticTracing
  # The module that a tracer prepends to a class. Of each method that is traced it has one that asks whether its probe
  # is, and calls the original. bench/ compares that with wrapping only while a probe is traced, and README says why
  # it is so.
  class Wrapper < Module
    def initialize(tracer, klass)
      super()
      @tracer = tracer
      @klass = klass
      @probes = {} # method name => the name of the constant of its tracepoint
      @cost = {}
    end

    def add(method, provider)
      return if @probes.key?(method)
      cost = Configuration.instance.cost
      types = [*(Integer if cost), String, @tracer.type]
      tracepoint = Tracepoint.new(provider, Names.probe(method), *types)
      const_set(constant = "P#{@probes.size}", tracepoint)
      @probes[method] = constant
      @cost[method] = cost
    end

    # Wraps what is there and is not wrapped.
    def enable!
      unless @in_place
        watch
        @klass.prepend(self) # once: Ruby 3.1.2 may crash if it is done again to a module whose classes were collected
        @in_place = true
      end
      @probes.each_key { |method| define(method) unless own?(method) }
    end

    def disable!
      @probes.each_key { |method| remove_method(method) if own?(method) }
    end

    # Internal: the class has another definition of this method, or none. It may have other parameters, and other
    # visibility in a moment: it is as the class has it, until the next enable!.
    def redefined(method)
      StaticTracing.lock.synchronize { remove_method(method) if own?(method) }
    end

    def inspect
      "#<#{self.class} #{@tracer} of #{@klass}>"
    end
    alias to_s inspect

    private

    def own?(method)
      method_defined?(method, false) || private_method_defined?(method, false)
    end

    def watch
      wrapper = self
      klass = @klass
      klass.singleton_class.prepend(Module.new do
        %i[method_added method_removed method_undefined].each do |event|
          define_method(event) do |method|
            super(method)
            wrapper.redefined(method) if equal?(klass)
          end
          private event
        end
      end)
    end

    def define(method)
      visibility = %i[public protected private].find { |v| @klass.send("#{v}_method_defined?", method) }
      return unless visibility
      original = @klass.instance_method(method)
      code = code(method, original.parameters, watched?(original.owner))
      module_eval(code, __FILE__, 1)
      ruby2_keywords(method) if code.include?("*rest")
      send(visibility, method)
    end

    # Whether another definition, with other parameters, would be noticed.
    def watched?(owner)
      owner.equal?(@klass) && !owner.singleton_class? || owner.is_a?(Wrapper)
    end

    def code(method, parameters, same)
      probe = @probes[method]
      fire = if @cost[method]
               ->(since, value) { "#{probe}.fire_measured(#{since}, #{method.inspect}, #{value})" }
             else
               ->(_since, value) { "#{probe}.fire(#{method.inspect}, #{value})" }
             end
      head, call = forward(method, parameters, same)
      "#{head}\nreturn #{call} unless #{probe}.enabled?\n#{@tracer.code(call, fire)}\nend"
    end

    # The head of the wrapper, and its call of the original. Where it can, the wrapper has the same parameters, and
    # passes on those that it was given: that is a call, where an Array or Hash of them would cost as much again.
    def forward(method, parameters, same)
      return ["define_method(#{method.inspect}) do |*rest, &block|", "super(*rest, &block)"] \
        unless method.inspect.match?(/\A:[^"@$]/) # no name for def
      required = parameters.take_while { |kind, _| kind == :req }.size
      others = parameters.drop(required)
      positional = Array.new(required) { |i| "_a#{i}_" }
      return ["def #{method}(#{[*positional, "*rest"].join(", ")})", "super"] unless same && named?(others)

      optional = others.select { |kind, _| kind == :opt }.each_index.map { |i| "_b#{i}_" }
      keys, defaults = %i[keyreq key].map { |of| others.filter_map { |kind, name| name if kind == of } }
      head = positional + optional.map { |b| "#{b} = (#{b}d = true; nil)" } + keys.map { |k| "#{k}:" } +
             defaults.map { |k| "#{k}: (_#{k}_ = true; nil)" } + (others.include?([:nokey]) ? ["**nil"] : [])
      calls = (0..optional.size).map { |n| with_keys(positional + optional.first(n), keys, defaults) }
      call = optional.zip(calls).map { |b, c| "#{b}d ? #{c} : " }.join + calls.last
      ["def #{method}(#{head.join(", ")})", "(#{call})"]
    end

    def named?(parameters)
      parameters.all? do |kind, name|
        %i[opt block nokey].include?(kind) || (%i[key keyreq].include?(kind) && !RESERVED.include?(name))
      end
    end

    # Of keywords with defaults: none, all, or some were given.
    def with_keys(positional, keys, defaults)
      required = positional + keys.map { |k| "#{k}: #{k}" }
      none = "super(#{required.join(", ")})"
      return none if defaults.empty?
      all = "super(#{[*required, *defaults.map { |k| "#{k}: #{k}" }].join(", ")})"
      some = "super(#{[*required, *defaults.map { |k| "**(_#{k}_ ? {} : { #{k}: #{k} })" }].join(", ")})"
      absent = defaults.map { |k| "_#{k}_" }
      "(#{absent.join(" && ")} ? #{none} : #{absent.join(" || ")} ? #{some} : #{all})"
    end

    RESERVED = %i[__ENCODING__ __FILE__ __LINE__ BEGIN END alias and begin break case class def defined? do else elsif
                  end ensure false for if in module next nil not or redo rescue retry return self super then true undef
                  unless until when while yield].freeze
    private_constant :RESERVED
  end
end
