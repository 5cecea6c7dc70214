# frozen_string_literal: true

require "helper"
require "forwarding"

# Wrapped methods, while nobody traces them. (tracing_test.rb makes the same calls while somebody does.)
class WrapperTest < Minitest::Test
  Latency = StaticTracing::Tracer::Latency
  Stack = StaticTracing::Tracer::Stack

  def test_calls_are_what_they_were
    bare = Forwarding.make
    [Latency, Stack].each do |tracer|
      wrapped = Forwarding.make
      tracer.register(wrapped, Forwarding.methods(wrapped), provider: "wrapper_#{tracer.name.downcase[/\w+\z/]}")
      assert_operator wrapped.ancestors.first, :is_a?, StaticTracing::Wrapper
      assert_equal Forwarding.methods(bare).sort, Forwarding.methods(wrapped.ancestors.first).sort
      Forwarding::CALLS.each do |call|
        assert_equal Forwarding.outcome(bare, call), Forwarding.outcome(wrapped, call), call
      end
    end
  end

  def test_visibility
    klass = Forwarding.make
    Latency.register(klass, :hidden, :shielded, :none, provider: "wrapper_visibility")
    wrapper = klass.ancestors.first
    assert_equal [[:none], [:shielded], [:hidden]],
                 %w[public protected private].map { |v| wrapper.send("#{v}_instance_methods", false) }
  end

  def owner(klass, name)
    klass.instance_method(name).owner
  end

  def test_off_is_off
    klass = Class.new { def m = 1 }
    Latency.register(klass, :m, provider: "wrapper_off")
    refute_same klass, owner(klass, :m)
    StaticTracing.disable!
    assert_same klass, owner(klass, :m)
    Latency.register(klass, :m, provider: "wrapper_off")
    assert_same klass, owner(klass, :m)
    StaticTracing.enable!
    refute_same klass, owner(klass, :m)
    assert_equal 1, klass.new.m
  ensure
    StaticTracing.enable!
  end

  def test_a_method_that_is_not_there_yet_is_wrapped_by_the_next_enable
    klass = Class.new
    Latency.register(klass, :m, provider: "wrapper_later")
    refute_respond_to klass.new, :m
    klass.class_eval { private def m(a) = a }
    assert_same klass, owner(klass, :m)
    StaticTracing.enable!
    refute_same klass, owner(klass, :m)
    assert_raises(NoMethodError) { klass.new.m(1) }
    assert_equal 1, klass.new.send(:m, 1)
  end

  def test_a_method_that_is_defined_again_is_as_it_is_defined
    klass = Class.new { def m(a) = a }
    Latency.register(klass, :m, provider: "wrapper_again")
    klass.class_eval "undef m; private def m(a, b, k: 0) = [a, b, k]"
    2.times do
      assert_equal [1, 2, 3], klass.new.send(:m, 1, 2, k: 3)
      assert_raises(NoMethodError) { klass.new.m(1, 2) }
      below = Class.new(klass) { def m = super(1, 2) }
      assert_equal [1, 2, 0], below.new.m
      StaticTracing.enable!
      refute_same klass, owner(klass, :m)
    end
  end

  def test_an_inherited_method_may_be_defined_again_above
    above = Class.new { def m(a) = a }
    klass = Class.new(above)
    Latency.register(klass, :m, provider: "wrapper_above")
    above.class_eval "undef m; def m(a, b, k: 0) = [a, b, k]"
    assert_equal [1, 2, 3], klass.new.m(1, 2, k: 3)
  end

  def test_a_method_of_a_subclass_changes_nothing_above
    klass = Class.new { def m = 1 }
    Latency.register(klass, :m, provider: "wrapper_below")
    below = Class.new(klass) { def m = super + 1 }
    assert_equal 2, below.new.m
    refute_same klass, owner(klass, :m)
  end

  def test_a_method_that_is_no_more
    klass = Class.new do
      def m = 1
      def n = 2
    end
    Latency.register(klass, :m, :n, provider: "wrapper_no_more")
    klass.class_eval { undef m }
    klass.remove_method(:n)
    StaticTracing.enable!
    refute_respond_to klass.new, :m
    refute_respond_to klass.new, :n
  end

  def test_registering_twice_wraps_once
    klass = Class.new { def m(a) = a + 1 }
    2.times { Latency.register(klass, :m, provider: "wrapper_twice") }
    assert_equal 1, klass.ancestors.grep(StaticTracing::Wrapper).size
    assert_equal 2, klass.new.m(1)
  end

  def test_two_tracers_of_one_method_have_two_providers
    klass = Class.new { def m(a) = a + 1 }
    Latency.register(klass, :m, provider: "wrapper_a")
    assert_raises(StaticTracing::USDTError) { Stack.register(klass, :m, provider: "wrapper_a") }
    Stack.register(klass, :m, provider: "wrapper_b")
    assert_equal 2, klass.new.m(1)
  end

  class Named
    def self.made(*a, k: 1) = [a, k]
    def m = 1
    def n = 2
    private def o = 3
  end

  def test_providers_have_the_name_of_the_class
    Latency.register(Named, :m, [:n])
    assert_equal %w[m n], StaticTracing::Provider.fetch("wrapper_test_named").tracepoints.keys
    assert_equal [String, Integer], StaticTracing::Tracepoint.fetch("wrapper_test_named", :m).args
    Stack.register(Named.singleton_class, :made)
    assert_equal [String, String], StaticTracing::Tracepoint.fetch("wrapper_test_named", "made").args
    assert_equal [[1], 2], Named.made(1, k: 2)
  end

  module Mixed
    def m(a) = a
  end

  def test_modules
    Latency.register(Mixed, :m)
    klass = Class.new { include Mixed }
    assert_equal 1, klass.new.m(1)
    assert_kind_of StaticTracing::Wrapper, owner(klass, :m)
  end

  def test_concerns
    %w[Latency Stack].each do |name|
      klass = Class.new do
        define_singleton_method(:name) { "ConcernOf#{name}" }
        def a = 1
        def b = 2
        private def c = 3
        include StaticTracing::Tracer::Concerns.const_get(name)
      end
      assert_equal %w[a b], StaticTracing::Provider.fetch("concern_of_#{name.downcase}").tracepoints.keys
      assert_equal [1, 2, 3], [klass.new.a, klass.new.b, klass.new.send(:c)]
    end
  end

  def test_a_concern_without_methods_warns
    _, err = capture_io do
      Class.new do
        def self.name = "ConcernOfNone"
        include StaticTracing::Tracer::Concerns::Latency
        def a = 1
      end
    end
    assert_match(/#{File.basename(__FILE__)}:\d+: warning: .*: no methods to trace/, err)
  end

  # A tracer of one's own: of the values that a method returns.
  class Results < StaticTracing::Tracer::Base
    def self.type = Integer

    def self.code(call, fire)
      "result = #{call}\n#{fire.("::StaticTracing.nsec", "result")}\nresult"
    end
  end

  def test_a_tracer_of_ones_own
    klass = Class.new { def m(a) = a }
    StaticTracing::Configuration.instance.add_tracer(Results)
    Results.register(klass, :m, provider: "wrapper_results")
    assert_equal 5, klass.new.m(5)
  end

  def test_gc_stress
    result = ruby(<<~'RUBY', env: { "STATIC_TRACING" => ENV["STATIC_TRACING"] })
      class Foo
        def bar(a, k: 1) = [a, k]
      end
      GC.stress = true
      StaticTracing::Tracer::Latency.register(Foo, :bar)
      StaticTracing::Tracer::Stack.register(Foo, :bar, provider: "stack")
      5.times do |i|
        provider = StaticTracing::Provider.register("stress#{i}x")
        probe = provider.add_tracepoint("a", Integer, String, Symbol, Float)
        provider.enable
        probe.fire(2**64, "text" * 10, :"sym#{i}", 1.5)
        provider.disable if i.odd?
        provider.destroy
        probe.fire(1)
        begin
          probe.fire("1")
        rescue StaticTracing::Tracepoint::InvalidArgumentError
        end
        Foo.new.bar(1, k: 2)
        StaticTracing.trace(:"block#{i}") {}
      end
      GC.stress = false
      puts "ok"
    RUBY
    assert_equal "ok\n", result
  end

  def test_fork
    reader, writer = IO.pipe
    klass = Class.new { def m(a) = a }
    Latency.register(klass, :m, provider: "wrapper_fork")
    4.times do |i|
      fork do
        own = StaticTracing::Provider.register("wrapper_child")
        own.add_tracepoint("a", Integer).fire(1)
        own.enable
        StaticTracing::Provider.fetch("wrapper_fork").destroy if i == 0
        writer.write(klass.new.m(i).to_s)
        exit!(0)
      end
    end
    Process.waitall
    writer.close
    assert_equal "0123", reader.read.chars.sort.join
    assert_equal StaticTracing.available?, StaticTracing::Provider.fetch("wrapper_fork").enabled?
  end
end
