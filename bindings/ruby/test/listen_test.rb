# frozen_string_literal: true

require "helper"

# Tracepoint#listen: a program hears the hits of its own probes, without root and without a tracer.
class ListenTest < Minitest::Test
  include StaticTracing

  def heard(probe)
    hits = []
    listener = probe.listen { |*values| hits << values }
    yield
    hits
  ensure
    listener&.stop
  end

  def test_each_hit_until_it_is_stopped
    probe = Tracepoint.new("listen_each", "a", String, Integer)
    refute probe.enabled?
    hits = heard(probe) do
      assert probe.enabled?
      assert_equal true, probe.fire("apple", 7)
      assert_equal true, probe.fire("pear")
    end
    refute probe.enabled?
    assert_equal false, probe.fire("plum", 8)
    assert_equal [["apple", 7], ["pear", 0]], hits
  end

  def test_values_are_those_that_a_tracer_gets
    probe = Tracepoint.new("listen_values", "a", Integer, Integer, Symbol, Float, Scaled[100], String, String)
    hits = heard(probe) { probe.fire(-1, 2**64 + 5, :symbol, 1.5, 2.5, "a\0b", nil) }
    assert_equal [[-1, 5, "symbol", 1.5, 250, "a", nil]], hits
    many = Tracepoint.new("listen_values", "many", *[Integer] * 32)
    assert_equal [(1..32).to_a], heard(many) { many.fire(*1..32) }
    none = Tracepoint.new("listen_values", "none")
    assert_equal [[]], heard(none) { none.fire }
  end

  def test_whatever_becomes_of_the_provider
    provider = Provider.register("listen_life")
    probe = provider.add_tracepoint("a", Integer)
    hits = heard(probe) do
      probe.fire(1)
      provider.enable
      probe.fire(2)
      provider.disable
      probe.fire(3)
      provider.enable
      provider.destroy
      probe.fire(4)
    end
    assert_equal [[1], [2], [3], [4]], hits
    refute probe.enabled?
  end

  def test_several_and_each_only_its_own
    one = Tracepoint.new("listen_several", "one", Integer)
    two = Tracepoint.new("listen_several", "two", Integer)
    order = []
    first = one.listen { |n| order << [:first, n] }
    second = one.listen { |n| order << [:second, n]; first.stop }
    third = two.listen { |n| order << [:third, n] }
    one.fire(1)
    two.fire(2)
    one.fire(3)
    [second, third].each(&:stop)
    assert_equal [[:first, 1], [:second, 1], [:third, 2], [:second, 3]], order
    refute one.enabled?
  end

  def test_what_a_block_raises_fire_raises
    probe = Tracepoint.new("listen_raise", "a", Integer)
    listener = probe.listen { |n| raise IOError, "of #{n}" }
    assert_equal "of 1", assert_raises(IOError) { probe.fire(1) }.message
    listener.stop
    assert_equal [[2]], heard(probe) { probe.fire(2) }
  end

  def test_a_block_that_fires_hears_that_too
    probe = Tracepoint.new("listen_again", "a", Integer)
    hits = []
    listener = probe.listen { |n| hits << n; probe.fire(n + 1) if n < 3 }
    probe.fire(1)
    listener.stop
    assert_equal [1, 2, 3], hits
  end

  def test_threads_of_the_ractor
    probe = Tracepoint.new("listen_threads", "a", Integer)
    hits = heard(probe) { Array.new(4) { |i| Thread.new { 100.times { |n| probe.fire(i * 100 + n) } } }.each(&:join) }
    assert_equal (0...400).map { |n| [n] }, hits.sort
  end

  def test_each_ractor_hears_its_own
    result = ruby(<<~RUBY)
      probe = StaticTracing::Tracepoint.new("listen_ractors", "a", Integer)
      mine = []
      listener = probe.listen { |n| mine << n }
      theirs = Ractor.new(probe) do |probe|
        hits = []
        other = probe.listen { |n| hits << n }
        probe.fire(2)
        other.stop
        probe.fire(3)
        hits
      end.take
      probe.fire(1)
      listener.stop
      p mine, theirs, probe.enabled?
    RUBY
    assert_equal "[1]\n[2]\nfalse\n", result
  end

  def test_methods_and_blocks
    shop = Class.new { def sell(n) = n + 1 }
    self.class.const_set(:ListenShop, shop)
    Tracer::Latency.register(shop, :sell, provider: "listen_shop")
    hits = heard(Tracepoint.fetch("listen_shop", "sell")) { assert_equal 8, shop.new.sell(7) }
    assert_equal [["sell", Integer]], hits.map { |name, time| [name, time.class] }
    pay = -> { StaticTracing.trace(:pay, provider: "listen_shop") { nil } }
    pay.call # its probes are made then
    assert_equal [["pay"]], heard(Tracepoint.fetch("listen_shop", "pay__entry"), &pay)
  end

  def test_needs_no_privileges
    skip "nobody else here has any" unless Process.uid.zero?
    result = ruby(<<~RUBY)
      Process::Sys.setgid(65534)
      Process::Sys.setuid(65534)
      probe = StaticTracing::Tracepoint.new("listen_nobody", "a", Integer)
      probe.listen { |n| p n }
      probe.fire(7)
    RUBY
    assert_equal "7\n", result
  end
end

class ListenBesideTracerTest < TracingTest
  include StaticTracing

  def test_both_hear_every_hit
    probe = Tracepoint.new("listen_both", "a", Integer)
    assert probe.provider.enable
    mine = []
    seen = hits("listen_both:a", '"%d\\n", arg0', 20) do
      20.times do |n|
        listener = probe.listen { |value| mine << value } if n.even?
        probe.fire(n)
        listener&.stop
      end
    end
    assert_equal (0...20).select(&:even?), mine
    assert_equal (0...20).map(&:to_s), seen.map { |line| line[/\d+/] }
  end
end
