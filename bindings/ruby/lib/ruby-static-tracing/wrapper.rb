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
      @on = false
    end

    def add(method, provider)
      return if @probes.key?(method)
      cost = Configuration.instance.cost
      types = [*(Integer if cost), String, @tracer.type]
      tracepoint = Tracepoint.new(provider, Names.probe(method), *types)
      const_set(constant = "P#{@probes.size}", tracepoint)
      @probes[method] = constant
      @cost[method] = cost
      define(method) if @on
    end

    def enable!
      return if @on
      @on = true
      follow unless @klass.ancestors.include?(self)
      @klass.prepend(self)
      @probes.each_key { |method| define(method) }
    end

    def disable!
      @on = false
      @probes.each_key { |method| undefine(method) }
    end

    # Internal: the class has another definition of this method now, or its first.
    def redefined(method)
      StaticTracing.lock.synchronize { define(method) if @on && @probes.key?(method) }
    end

    def inspect
      "#<#{self.class} #{@tracer} of #{@klass}>"
    end
    alias to_s inspect

    private

    def follow
      wrapper = self
      klass = @klass
      klass.singleton_class.prepend(Module.new do
        define_method(:method_added) do |method|
          super(method)
          wrapper.redefined(method) if equal?(klass)
        end
        private :method_added
      end)
    end

    def undefine(method)
      remove_method(method) if method_defined?(method, false) || private_method_defined?(method, false)
    end

    def define(method)
      undefine(method)
      visibility = %i[public protected private].find { |v| @klass.send("#{v}_method_defined?", method) }
      return unless visibility
      module_eval(code(method, @klass.instance_method(method).parameters), __FILE__, 1)
      send(visibility, method)
    end

    def code(method, parameters)
      probe = @probes[method]
      fire = if @cost[method]
               ->(since, value) { "#{probe}.fire_measured(#{since}, #{method.inspect}, #{value})" }
             else
               ->(_since, value) { "#{probe}.fire(#{method.inspect}, #{value})" }
             end
      head, call = forward(method, parameters)
      "#{head}\nreturn #{call} unless #{probe}.enabled?\n#{@tracer.code(call, fire)}\nend"
    end

    # The head of the wrapper, and its call of the original with the arguments, keywords and block it got. Ruby does
    # that without a copy where all parameters are named.
    def forward(method, parameters)
      required = parameters.take_while { |kind, _| kind == :req }.size
      names = Array.new(required) { |i| "a#{i}" }
      return ["ruby2_keywords define_method(#{method.inspect}) do |*rest, &block|", "super(*rest, &block)"] \
        unless method.inspect.match?(/\A:[^"@$]/) # no name for def
      return ["def #{method}(#{names.join(", ")})", "super"] \
        if !@klass.singleton_class? && parameters.all? { |kind, _| %i[req block].include?(kind) }
      ["ruby2_keywords def #{method}(#{[*names, "*rest"].join(", ")})", "super"]
    end
  end
end
