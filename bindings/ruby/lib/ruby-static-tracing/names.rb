# frozen_string_literal: true

module StaticTracing
  # Names of generated probes: what Ruby allows, as what tracers allow (see usdt.h).
  module Names
    ENDINGS = { "?" => "__p", "!" => "__bang", "=" => "__set" }.freeze
    TAKEN = %w[pid objc oneshot].freeze

    module_function

    # My::HTTPServer: my_http_server.
    def underscore(name)
      name.gsub("::", "_").gsub(/([A-Z]+)([A-Z][a-z])/, '\1_\2').gsub(/([a-z\d])([A-Z])/, '\1_\2').tr("-", "_").downcase
    end

    # Of a class; its last 52 characters; '_' after a digit and the names that DTrace has for itself.
    def provider(klass)
      owner = klass.singleton_class? ? ObjectSpace.each_object(klass).find { |o| o.singleton_class == klass } : klass
      name = owner.is_a?(Module) && owner.name
      raise ArgumentError, "#{klass.inspect} has no name: say provider:" unless name
      name = allowed(underscore(name))
      name = name[-52..] || name
      name = name.sub(/\A[^A-Za-z_]/, "_")
      name.match?(/\d\z/) || TAKEN.include?(name) ? "#{name}_" : name
    end

    # valid?: valid__p. Other characters as their code: <=> is x3cx3dx3e.
    def probe(name, most = 63)
      allowed(name.to_s.sub(/(?<=\w)[?!=]\z/, ENDINGS)).sub(/\A[^A-Za-z_]/, '_\0')[0, most]
    end

    def allowed(name)
      name.gsub(/[^A-Za-z0-9_.-]/) { |c| format("x%x", c.ord) }
    end
  end
end
