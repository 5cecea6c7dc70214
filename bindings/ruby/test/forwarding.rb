# frozen_string_literal: true

# Calls of two classes of the same source, of which one is wrapped: what they return or raise is the same.
module Forwarding
  SOURCE = <<~'RUBY'
    def none; [:none]; end
    def one(a) = [a]
    def two(a, b) = [a, b]
    def destructured((a, b), c) = [a, b, c]
    def optional(a, b = a) = [a, b]
    def defaults(a = 1, b = a.to_s + "x") = [a, b]
    def last(a, b = :b, c) = [a, b, c]
    def rest(*r) = [r]
    def rest_between(a, *r, z) = [a, r, z]
    def key(k:) = [k]
    def keys(a, k:, l: k, **more) = [a, k, l, more]
    def default_key(a, k: a) = [a, k]
    def two_keys(a, b = a, k: a, l: b) = [a, b, k, l]
    def only_keys(**k) = [k]
    def no_keys(a, **nil) = [a]
    def reserved(if:, class: 2) = [binding.local_variable_get(:if), binding.local_variable_get(:class)]
    def everything(a, b = 2, *c, d, e:, f: 6, **g, &h) = [a, b, c, d, e, f, g, h&.call(1)]
    def start(at = 1, took: 2) = [at, took]
    ruby2_keywords def flagged(*r) = [Hash.ruby2_keywords_hash?(r.last), keys(*r)]
    def delegated(...) = everything(...)
    def yields(a) = yield(a, a)
    def block(&b) = [b.lambda?, b.arity, b.call]
    def given = block_given?
    def returns_from_block = [1, 2].each { |x| return x }
    def raises(a) = raise(KeyError, "no #{a}")
    def throws(a) = throw(:out, a)
    def fails(a) = a.undefined_method
    def exits = raise(SystemExit.new(3, "out"))
    def +(other) = [:+, other]
    def [](a, *b) = [:[], a, b]
    def []=(a, b); @set = [a, b]; end
    def -@ = :minus
    def !; :not; end
    def <=>(other) = [other]
    def attribute=(v); @attribute = v; end
    attr_accessor :simple
    def query?(a) = [a]
    def bang! = :bang
    def größe(x) = [x]
    def class_of(a = self.class.instance_method(:one).owner.instance_of?(Class)) = [a && 1]
    def self_is = [self.class.name.nil?]
    define_method(:defined) { |a, b = 2, *c, k: 3| [a, b, c, k] }
    define_method(:"with space") { |*a, **k, &b| [a, k, b&.call] }
    def method_name = [__method__]
    def nested(n) = n.zero? ? [0] : [n, *nested(n - 1)]
    def parent(a, k: 1) = super
    protected def shielded(other) = [other]
    private def hidden(a) = [a]
    def calls_hidden = hidden(1) + shielded(2) + self.hidden(3)
  RUBY

  PARENT = Class.new { def parent(a, k: 1) = [:parent, a, k] }

  CALLS = <<~'RUBY'.lines.map(&:chomp)
    o.none
    o.none(1)
    o.one(1)
    o.one
    o.one(k: 1)
    o.one({ k: 1 })
    o.one(**{})
    o.one(*[1])
    o.two(1, 2)
    o.two(1, k: 2)
    o.two(*[1, 2, 3])
    o.destructured([1, 2], 3)
    o.optional(1)
    o.optional(1, nil)
    o.optional(1, k: 2)
    o.defaults
    o.defaults(3)
    o.defaults(3, 4)
    o.defaults(3, 4, 5)
    o.last(1, 2)
    o.last(1, 2, 3)
    o.rest
    o.rest(1, [2], { a: 1 })
    o.rest(1, a: 1)
    o.rest(**{})
    o.rest_between(1)
    o.rest_between(1, 2)
    o.rest_between(1, 2, 3, 4)
    o.key(k: 1)
    o.key
    o.key({ k: 1 })
    o.key(k: 1, l: 2)
    o.key(**{ k: 4 })
    o.keys(1, k: 2)
    o.keys(1, k: 2, l: 3, "m" => 4)
    o.keys({ k: 1 }, k: 2)
    o.default_key(1)
    o.default_key(1, k: nil)
    o.default_key(1, l: 2)
    o.default_key({ k: 2 })
    o.two_keys(1)
    o.two_keys(1, k: 3)
    o.two_keys(1, nil, l: 4)
    o.two_keys(1, l: 4, k: 3)
    o.two_keys(1, 2, 3)
    o.two_keys(1, 2, m: 3)
    o.two_keys(1, 2, **{ k: 1, "l" => 3 })
    o.only_keys
    o.only_keys(a: 1, **{ b: 2 })
    o.only_keys({ a: 1 })
    o.no_keys(1)
    o.no_keys(a: 1)
    o.reserved(if: 1)
    o.reserved(if: 1, class: 3)
    o.everything(1, 2, e: 3)
    o.everything(1, 2, 3, 4, 5, e: 6, f: 7, g: 8) { |x| x + 1 }
    o.everything(1, e: 1)
    o.start
    o.start(5, took: 6)
    o.flagged(1, k: 2)
    o.flagged(1, { k: 2 })
    o.delegated(1, 2, e: 3) { 4 }
    o.yields(1) { |a, b| [a, b] }
    o.yields(1)
    o.yields(1) { break 9 }
    o.yields(1) { next 8 }
    o.yields(1, &:+)
    o.block { 1 }
    o.block(&-> { 2 })
    o.block(&nil)
    o.given
    o.given {}
    o.returns_from_block
    o.raises(1)
    catch(:out) { o.throws(4) }
    o.throws(4)
    o.fails(nil)
    o.exits
    o + 1
    o[1]
    o[1, 2, k: 3]
    o[1] = 2
    o.send(:[]=, 1, 2)
    -o
    !o
    o <=> 3
    o.attribute = 4
    o.send(:attribute=, 5)
    o.simple = 6
    o.simple
    o.simple(1)
    o.query?(1)
    o.bang!
    o.größe(1)
    o.self_is
    o.defined(1)
    o.defined(1, 2, 3, k: 4)
    o.defined
    o.send("with space", 1, a: 2) { 3 }
    o.method_name
    o.nested(3)
    o.parent(1)
    o.parent(1, k: 2)
    o.shielded(1)
    o.hidden(1)
    o.calls_hidden
    o.public_send(:hidden, 1)
    o.method(:two).call(1, 2)
    o.method(:two).to_proc.call(1, 2)
    o.method(:one).arity
    o.method(:two).arity
    o.respond_to?(:hidden)
    o.respond_to?(:shielded)
    [1, 2].map(&o.method(:one))
    [o].map(&:none)
  RUBY

  def self.make(name = nil)
    Class.new(PARENT) do
      def inspect = "o"
      class_eval(SOURCE, "source", 1)
    end
  end

  def self.methods(klass)
    klass.instance_methods(false) + klass.private_instance_methods(false) - [:inspect]
  end

  # What a call does: its value, or exception and message.
  def self.outcome(klass, call)
    o = klass.new
    value = eval(call, binding, "call", 1)
    [:returns, value.equal?(o) ? :self : value]
  rescue Exception => e # SystemExit is one of them
    at = e.backtrace.find { |line| line !~ /wrapper\.rb/ }.sub(/#<.*>/, "")
    [e.class, e.message.gsub(/#<Class:0x\h+>/, "class"), e.is_a?(ArgumentError) ? nil : at]
  end
end
