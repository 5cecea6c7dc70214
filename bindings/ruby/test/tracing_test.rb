# frozen_string_literal: true

require "helper"
require "forwarding"

# What bpftrace sees.
class ValuesTest < TracingTest
  def fired(name, types, format, *values)
    provider = StaticTracing::Provider.register("values_test")
    probe = provider.add_tracepoint(name, *types)
    assert provider.enable, provider.error
    hits("values_test:#{name}", format, values.size) { values.each { |v| assert probe.fire(*v) } }
  end

  def test_integers_are_64_bits_with_sign
    values = [0, 1, -1, 2**62, -2**62, 2**63 - 1, -2**63]
    assert_equal values.map(&:to_s), fired("integer", [Integer], '"%ld\n", arg0', *values)
  end

  def test_larger_integers_leave_their_low_bits
    assert_equal ["ffffffffffffffff", "5", "fffffffffffffffb"],
                 fired("large", [Integer], '"%lx\n", arg0', 2**64 - 1, 2**200 + 5, -2**200 - 5)
  end

  def test_strings_and_symbols
    shared = ("y" * 100)[40..] # of another string's bytes
    dynamic = "dynamic #{name}".to_sym
    assert_equal ["text", "sym", "dynamic #{name}", "", "ä", "cut", "y" * 60],
                 fired("string", [String], '"%s\n", str(arg0)', "text", :sym, dynamic, "", "ä", "cut\0off", shared)
  end

  def test_strings_while_all_is_collected_and_moved
    probe = StaticTracing::Tracepoint.new("moved_test", "a", *[String] * 6)
    probe.provider.enable
    long = "0123456789" * 10
    seen = hits("moved_test:a", '"%s %s %s %s\n", str(arg0), str(arg1), str(arg2), str(arg5)', 5) do
      5.times do |i|
        values = [long[i, 50], :"dynamic#{i}", +"new#{i}", long[1, 40], long[2, 30], long[i + 1, 50]]
        GC.auto_compact = GC.stress = true
        probe.fire(*values)
      ensure
        GC.auto_compact = GC.stress = false
      end
    end
    assert_equal Array.new(5) { |i| "#{long[i, 50]} dynamic#{i} new#{i} #{long[i + 1, 50]}" }, seen
  end

  def test_nil_is_0
    assert_equal ["0 0 0 0"], fired("nil", [Integer, String, Float, StaticTracing::Scaled[10]],
                                    '"%ld %ld %ld %ld\n", arg0, arg1, arg2, arg3', [nil, nil, nil, nil])
  end

  def test_missing_values_are_0
    assert_equal ["7 0"], fired("missing", [Integer, Integer], '"%ld %ld\n", arg0, arg1', [7])
  end

  def test_floats_are_their_bits
    values = [1.5, -0.0, 3]
    bits = values.map { |v| [v.to_f].pack("G").unpack1("Q>").to_s(16) }
    assert_equal bits, fired("float", [Float], '"%lx\n", arg0', *values)
  end

  def test_floats_as_scaled_integers
    assert_equal %w[1500 -2 3000 0 9223372036854775807 -9223372036854775808],
                 fired("scaled", [StaticTracing::Scaled[1000]], '"%ld\n", arg0',
                       1.5, -0.0015, 3, Float::NAN, Float::INFINITY, -Float::INFINITY)
  end

  def test_32_arguments
    skip "where the seventh is on the stack depends on the processor" unless RUBY_PLATFORM.start_with?("x86_64")
    format = '"%ld %ld %s %ld %ld %ld\n", arg0, arg1, str(arg2), arg5, ' \
             '*(int64 *)reg("sp"), *(int64 *)(reg("sp") + 200)'
    assert_equal ["1 -2 s 6 7 -32"],
                 fired("many", [Integer, Integer, String, *[Integer] * 29], format, [1, -2, "s", *4..31, -32])
  end
end

class GeneratedProbesTest < TracingTest
  class Shop
    def buy(item)
      sleep 0.01
      item
    end

    def lose
      raise "lost"
    end

    def look
      :seen
    end

    def price!
      1
    end
  end

  def test_latency
    StaticTracing::Tracer::Latency.register(Shop, :buy, :lose)
    lines = hits("generated_probes_test_shop:buy", '"%s %ld\n", str(arg0), arg1', 2) do
      2.times { |i| assert_equal i, Shop.new.buy(i) }
    end
    assert_equal %w[buy buy], lines.map { |line| line[/\w+/] }
    lines.each { |line| assert_operator line[/\d+/].to_i, :>=, 10_000_000, "slept 10 ms" }
  end

  def test_latency_of_what_raises
    StaticTracing::Tracer::Latency.register(Shop, :lose)
    lines = hits("generated_probes_test_shop:lose", '"%s %d\n", str(arg0), arg1 > 0', 1) do
      assert_equal "lost", assert_raises(RuntimeError) { Shop.new.lose }.message
    end
    assert_equal ["lose 1"], lines
  end

  def test_a_method_with_a_name_that_tracers_cannot_have
    StaticTracing::Tracer::Latency.register(Shop, :price!)
    assert_equal ["price!"], hits("generated_probes_test_shop:price__bang", '"%s\n", str(arg0)', 1) { Shop.new.price! }
  end

  def test_stack
    StaticTracing::Tracer::Stack.register(Shop, :look)
    lines = hits("generated_probes_test_shop:look", '"%s %s\n", str(arg0), str(arg1)', 1) do
      eval("Shop.new.look", binding, "file", 7)
    end
    assert_equal ["look file:7:in `block in test_stack'"], lines
  end

  def test_block
    assert StaticTracing.trace(:pay) { true }
    entries = hits("blocks:pay__entry", '"%s\n", str(arg0)', 1) do
      assert_equal 5, StaticTracing.trace(:pay) { 5 }
    end
    assert_equal ["pay"], entries
    exits = hits("blocks:pay__exit", '"%s %d\n", str(arg0), arg1 >= 10000000', 2) do
      assert_equal 5, StaticTracing.trace(:pay) { sleep(0.01) && 5 }
      assert_raises(ArgumentError) { StaticTracing.trace(:pay) { sleep(0.01) && raise(ArgumentError) } }
    end
    assert_equal ["pay 1"] * 2, exits
  end

  # The cost of the first hit is what it took to get there; of the second also the tracer's, of the first.
  def test_cost
    config = StaticTracing::Configuration.instance
    config.cost = true
    measured = Class.new { def m; end }
    StaticTracing::Tracer::Latency.register(measured, :m, provider: "measured")
    StaticTracing.trace(:measured) {}
    config.cost = false
    took = nil
    lines = hits("measured:m", '"%ld %s %ld\n", arg0, str(arg1), arg2', 2) do
      start = StaticTracing.nsec
      2.times { measured.new.m }
      took = StaticTracing.nsec - start
    end
    costs = lines.map { |line| line[/^\d+(?= m \d+$)/].to_i }
    assert_equal 2, costs.size, lines
    costs.each { |cost| assert_includes 1..took, cost }
    lines = hits("blocks:measured__exit", '"%d %s\n", arg0 > 0, str(arg1)', 1) { StaticTracing.trace(:measured) {} }
    assert_equal ["1 measured"], lines
  end

  # As in wrapper_test.rb, but that each call fires.
  def test_traced_calls_are_what_they_were
    %i[Latency Stack].each do |tracer|
      bare, wrapped = Forwarding.make, Forwarding.make
      StaticTracing::Tracer.const_get(tracer).register(wrapped, Forwarding.methods(wrapped), provider: "traced_calls")
      assert_equal Forwarding::CALLS, Forwarding::CALLS.uniq
      traced = Bpftrace.new("usdt:*:traced_calls:* { @hits = count(); }")
      Forwarding::CALLS.each do |call|
        assert_equal Forwarding.outcome(bare, call), Forwarding.outcome(wrapped, call), call
      end
      assert_operator traced.stop[/^@hits: (\d+)/, 1].to_i, :>, Forwarding::CALLS.size / 2
      StaticTracing::Provider.fetch("traced_calls").destroy
    end
  end

  def test_off_and_on
    StaticTracing::Tracer::Latency.register(Shop, :look, provider: "on_off")
    lines = hits("on_off:look", '"%s\n", str(arg0)', 1) do
      StaticTracing.disable!
      Shop.new.look
      StaticTracing.enable!
      Shop.new.look
    end
    assert_equal ["look"], lines
  end
end

class ProcessesTest < TracingTest
  # As Puma does: all is loaded, then the workers are made. One attach, by the file, before they are.
  def test_a_master_and_four_workers
    lib = File.expand_path("../lib", __dir__)
    master = IO.popen([RbConfig.ruby, "-W0", "-I#{lib}", "-rruby-static-tracing", "-e", <<~'RUBY'], "r+")
      class Worker
        def serve(n)
          n
        end
      end
      StaticTracing::Tracer::Latency.register(Worker, :serve)
      $stdout.sync = true
      puts StaticTracing::Provider.fetch("worker").path
      gets
      4.times { |i| fork { 3.times { Worker.new.serve(i) } } }
      Worker.new.serve(9)
      Process.waitall
      puts "done"
      gets
    RUBY
    path = master.gets.chomp
    tracer = Bpftrace.new("usdt:#{path}:worker:serve { printf(\">%d %s\\n\", pid, str(arg0)); }", pid: nil)
    master.puts
    assert_equal "done", master.gets.chomp
    lines = tracer.lines(13)
    assert_equal ["serve"] * 13, lines.map { |line| line[/[a-z]+/] }
    assert_equal [1, 3, 3, 3, 3], lines.map(&:to_i).tally.values.sort
    assert_equal 1, lines.map(&:to_i).tally[master.pid]
    assert File.exist?(path), "the workers' end takes nothing from the master"
    master.puts
    master.read
    refute File.exist?(path), "the last one removes it"
  ensure
    tracer&.stop
    master&.close
  end

  def test_threads_and_ractors
    probe = StaticTracing::Tracepoint.new("ractors_test", "hit", Integer, String)
    probe.provider.enable
    assert Ractor.shareable?(probe)
    counted = Class.new { def run(n); n; end }
    StaticTracing::Tracer::Latency.register(counted, :run, provider: "ractors_test")
    StaticTracing.trace(:ractor) {}
    tracer = Bpftrace.new("usdt:*:ractors_test:hit { @hits[arg0, str(arg1)] = count(); } " \
                          "usdt:*:ractors_test:run { @runs = count(); } " \
                          "usdt:*:blocks:ractor__exit { @blocks = count(); }")
    warned, $VERBOSE = $VERBOSE, nil # that Ractors are experimental
    ractors = (1..3).map do |i|
      Ractor.new(probe, counted, i) do |p, k, id|
        500.times { |n| p.fire(id, "ractor") && k.new.run(n) && StaticTracing.trace(:ractor) { n } }
        :ok
      end
    end
    threads = (1..3).map { |i| Thread.new { 500.times { |n| probe.fire(i, "thread") && counted.new.run(n) } } }
    threads.each(&:join)
    assert_equal [:ok] * 3, ractors.map(&:take)
    seen = tracer.stop
    %w[ractor thread].product([1, 2, 3]) { |who, i| assert_match(/^@hits\[#{i}, #{who}\]: 500$/, seen) }
    assert_match(/^@runs: 3000$/, seen)
    assert_match(/^@blocks: 1500$/, seen)
  ensure
    $VERBOSE = warned
    tracer&.stop
  end

  def test_a_million_fires_without_growth
    probe = StaticTracing::Tracepoint.new("growth_test", "hit", Integer, String, Float, Integer)
    probe.provider.enable
    tracer = Bpftrace.new("usdt:*:growth_test:hit { @ = count(); }")
    long = 2**64 - 1
    rss = -> { File.read("/proc/self/statm").split[1].to_i * 4 }
    fire = ->(n) { n.times { |i| probe.fire(i, "text", 1.5, long) } }
    fire.(100_000)
    GC.start
    before = rss.call
    objects = GC.stat(:total_allocated_objects)
    fire.(900_000)
    assert_operator GC.stat(:total_allocated_objects) - objects, :<, 1000
    assert_operator rss.call - before, :<, 2000, "KiB"
    assert_match(/^@: 1000000$/, tracer.stop)
  ensure
    tracer&.stop
  end
end
