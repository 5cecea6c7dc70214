# frozen_string_literal: true

require "helper"

# The classes and their errors; also run without the extension (without_test.rb).
class ApiTest < Minitest::Test
  include StaticTracing

  def test_there_is_one_provider_of_a_name
    provider = Provider.register("api_one")
    assert_same provider, Provider.register(:api_one)
    assert_same provider, Provider.fetch("api_one")
    assert_same provider, Provider.fetch(provider)
    assert_same provider, Provider.providers["api_one"]
    assert_equal %w[api_one api_one], [provider.name, provider.namespace]
    assert_raises(NoMethodError) { Provider.new("api_one") }
  end

  def test_a_provider_that_was_not_registered
    assert_raises(Provider::ProviderMissingError) { Provider.fetch("api_none") }
    assert_raises(Provider::ProviderMissingError) { Tracepoint.fetch("api_none", "a") }
  end

  def test_either_side_creates_the_other
    made = Tracepoint.new("api_either", "a", Integer, String)
    provider = Provider.fetch("api_either")
    assert_same provider, made.provider
    assert_same made, provider.tracepoints["a"]
    other = provider.add_tracepoint(:b, String)
    assert_same other, Tracepoint.fetch("api_either", "b")
    assert_equal %w[a b], provider.tracepoints.keys
    assert_equal ["api_either", "a", [Integer, String]], [made.provider_name, made.name, made.args]
    assert_raises(Tracepoint::TracepointMissingError) { Tracepoint.fetch(:api_either, :c) }
  end

  def test_a_name_stands_for_one_definition
    one = Tracepoint.new("api_same", "a", Integer)
    assert_same one, Tracepoint.new("api_same", "a", Integer)
    assert_raises(USDTError) { Tracepoint.new("api_same", "a", String) }
  end

  def test_types
    [Object, nil, "Integer", 3, NilClass].each do |type|
      assert_raises(Tracepoint::InvalidArgType, type.inspect) { Tracepoint.new("api_types", "a", Integer, type) }
    end
    assert_raises(Tracepoint::InvalidArgType) { Tracepoint.new("api_types", "a", *[Integer] * 33) }
    assert_empty Provider.register("api_types").tracepoints
    assert_equal 32, Tracepoint.new("api_types", "a", *[Integer] * 32).args.size
  end

  def test_classes_of_values_are_compared_though_nobody_traces
    probe = Tracepoint.new("api_values", "a", Integer, String, Symbol, Float, Scaled[1000])
    assert_equal false, probe.fire(1, "a", :a, 1.5, 2.5)
    assert_equal false, probe.fire(-2**80, :a, "a", 1, 2)
    assert_equal false, probe.fire(nil, nil, nil, nil, nil)
    assert_equal false, probe.fire
    ["1", 1.0, :a, Object.new].each { |v| assert_raises(Tracepoint::InvalidArgumentError) { probe.fire(v) } }
    [1, 1.0, Object.new].each { |v| assert_raises(Tracepoint::InvalidArgumentError) { probe.fire(1, v) } }
    ["a", :a].each { |v| assert_raises(Tracepoint::InvalidArgumentError) { probe.fire(1, "a", "a", v) } }
    error = assert_raises(Tracepoint::InvalidArgumentError) { probe.fire(1, 2) }
    assert_equal "expected String, not 2 (Integer)", error.message
    assert_raises(Tracepoint::InvalidArgumentError) { probe.fire(1, "a", :a, 1.5, 2.5, 3) }
  end

  def test_a_listener_is_a_block_and_can_be_stopped_twice
    probe = Tracepoint.new("api_listen", "a", Integer)
    assert_raises(ArgumentError) { probe.listen }
    listener = probe.listen { flunk "heard" }
    assert_same probe, listener.tracepoint
    2.times { assert_nil listener.stop }
    assert_equal false, probe.fire(1)
  end

  def test_what_strings_hold_is_no_error
    probe = Tracepoint.new("api_strings", "a", String)
    wide = ["ä".encode("UTF-16LE"), "a".encode("UTF-32BE")]
    ["", "a\0b", "\xff", "\xff".b, *wide, "x" * 1_000_000, Class.new(String).new("a")].each do |text|
      assert_equal false, probe.fire(text)
    end
  end

  def test_life_of_a_provider
    provider = Provider.register("api_life")
    probe = provider.add_tracepoint("a")
    refute provider.enabled?
    assert_nil provider.path
    assert_equal StaticTracing.available?, provider.enable
    assert_equal StaticTracing.available?, provider.enabled?
    assert_equal StaticTracing.available?, provider.enable
    assert_match(%r{/api_life-\h{40}\.so\z}, provider.path) if provider.enabled? && RUBY_PLATFORM.include?("linux")
    assert_equal StaticTracing.available?, provider.disable
    refute provider.enabled?
    provider.destroy
    assert_raises(Provider::ProviderMissingError) { Provider.fetch("api_life") }
    assert_raises(Provider::ProviderMissingError) { probe.provider }
    refute provider.enabled?
    refute provider.enable
    refute_same provider, Provider.register("api_life")
    refute probe.enabled?
    assert_equal false, probe.fire
    provider.destroy
  end

  def test_what_is_destroyed_leaves_nothing
    skip "looks into /proc" unless File.exist?("/proc/self/statm")
    rss = -> { File.read("/proc/self/statm").split[1].to_i * 4 }
    live = lambda do |times|
      times.times do |i|
        provider = Provider.register("api_gone#{i}_")
        10.times { |n| provider.add_tracepoint("a#{n}", Integer, String) }
        provider.enable
        provider.destroy
      end
      GC.start
    end
    live.(300)
    before = rss.call
    live.(1000)
    assert_operator rss.call - before, :<, 2000, "KiB, where 10,000 tracepoints are 9,000"
    refute_includes File.read("/proc/self/maps"), "/api_gone"
    refute(Provider.providers.keys.any? { |name| name.start_with?("api_gone") })
  end

  def test_enabling_without_tracepoints_says_why_not
    provider = Provider.register("api_empty")
    refute provider.enable
    refute_empty provider.error
  end

  def test_measured
    probe = Tracepoint.new("api_measured", "a", Integer, String)
    assert_equal false, probe.fire_measured(StaticTracing.nsec, "a")
    assert_raises(Tracepoint::InvalidArgumentError) { probe.fire_measured(StaticTracing.nsec, 1) }
  end

  def test_a_tracepoint_may_be_shared_with_ractors
    probe = Tracepoint.new("api_shared", "a", Integer, Scaled[10])
    assert_predicate probe, :frozen?
    assert Ractor.shareable?(probe)
    assert_raises(TypeError, NoMethodError) { probe.dup }
  end

  def test_nsec_is_monotonic_time
    before = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    now = StaticTracing.nsec
    assert_includes before..Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond), now
  end

  def test_blocks_return_what_they_return
    assert_equal 5, StaticTracing.trace(:api_block) { 5 }
    assert_equal 6, StaticTracing.trace("api block?", provider: "api_blocks") { 6 }
    assert_raises(KeyError) { StaticTracing.trace(:api_block) { raise KeyError } }
    assert_equal 7, catch(:out) { StaticTracing.trace(:api_block) { throw :out, 7 } }
    assert_equal [String], Tracepoint.fetch("blocks", "api_block__entry").args
    assert_equal [String, Integer], Tracepoint.fetch("api_blocks", "apix20block__p__exit").args
  end

  def test_values_in_a_ractor
    result = ruby(<<~'RUBY', env: { "STATIC_TRACING" => ENV["STATIC_TRACING"] })
      Warning[:experimental] = false
      probe = StaticTracing::Tracepoint.new("api_ractor", "a", Integer, String, StaticTracing::Scaled[10], Float)
      p Ractor.new(probe) { |r| [r.enabled?, r.fire(1, "a", 1.5, 2), (r.fire("1") rescue $!.class)] }.take
    RUBY
    assert_equal "[false, false, StaticTracing::Tracepoint::InvalidArgumentError]\n", result
  end

  def test_a_block_of_an_unknown_name_in_a_ractor_runs
    result = ruby("Warning[:experimental] = false; p Ractor.new { StaticTracing.trace(:new) { 4 } }.take",
                  env: { "STATIC_TRACING" => ENV["STATIC_TRACING"] })
    assert_equal "4\n", result
  end

  def test_names_of_generated_probes
    names = { "a" => "a", "a?" => "a__p", "a!" => "a__bang", "a=" => "a__set", "[]" => "x5bx5d", "+" => "x2b",
              "größe" => "grxf6xdfe", "9" => "_9", "m" * 70 => "m" * 63 }
    names.each { |ruby, probe| assert_equal probe, Names.probe(ruby) }
  end

  module My
    class HTTPServer; end
    class Base64; end
  end

  class ANameOfAClassThatIsLongerThanTheFiftyThreeCharactersOfAProvider; end

  def test_names_of_providers
    assert_equal "api_test_my_http_server", Names.provider(My::HTTPServer)
    assert_equal "api_test_my_http_server", Names.provider(My::HTTPServer.singleton_class)
    assert_equal "api_test_my_base64_", Names.provider(My::Base64)
    long = Names.provider(ANameOfAClassThatIsLongerThanTheFiftyThreeCharactersOfAProvider)
    assert_equal ["er_than_the_fifty_three_characters_of_a_provider", 52], [long[-48..], long.size]
    assert_equal "pid_", Names.provider(Class.new { def self.name = "Pid" })
    assert_raises(ArgumentError) { Names.provider(Class.new) }
  end

  def test_version
    header = File.read(File.expand_path("../../../usdt.h", __dir__))
    assert_includes header, "#define USDT_VERSION \"#{VERSION}\""
  end
end

class ConfigurationTest < Minitest::Test
  Modes = StaticTracing::Configuration::Modes

  def config
    StaticTracing::Configuration.instance
  end

  def teardown
    config.mode = Modes::ON
    config.signal = "PROF"
  end

  def test_modes
    assert_equal "ON", config.mode
    assert_equal "PROF", config.signal
    assert StaticTracing.enabled?
    config.mode = Modes::OFF
    refute StaticTracing.enabled?
    StaticTracing.toggle_tracing!
    assert StaticTracing.enabled?
    assert_raises(StaticTracing::Configuration::InvalidModeError) { config.mode = "MAYBE" }
    StaticTracing.configure { |c| c.mode = Modes::OFF }
    refute StaticTracing.enabled?
  end

  def toggled_by(signal)
    was = StaticTracing.enabled?
    Process.kill(signal, Process.pid)
    Bpftrace.wait_for(10) { StaticTracing.enabled? != was }
  end

  def test_signals
    mine = []
    before = trap("PROF") { mine << :prof }
    Process.kill("PROF", Process.pid)
    assert Bpftrace.wait_for(10) { mine == [:prof] }, "no handler until it is asked for"
    assert StaticTracing.enabled?
    config.mode = Modes::SIGNAL
    refute StaticTracing.enabled?
    2.times { assert toggled_by("PROF") }
    config.signal = "USR2"
    2.times { assert toggled_by("USR2") }
    Process.kill("PROF", Process.pid)
    assert Bpftrace.wait_for(10) { mine == [:prof, :prof] }, "the handler from before is back"
    config.mode = Modes::ON
    assert_equal "DEFAULT", trap("USR2", "DEFAULT")
  ensure
    trap("PROF", before)
  end

  def test_tracers
    error = assert_raises(StaticTracing::Tracers::InvalidTracerError) { config.add_tracer(String) }
    assert_includes error.message, "String"
    assert_raises(StaticTracing::Tracers::InvalidTracerError) { config.add_tracer(StaticTracing::Tracer::Base) }
    assert_raises(StaticTracing::Tracers::InvalidTracerError) { config.add_tracer("Latency") }
    config.add_tracer(StaticTracing::Tracer::Latency)
    assert_same StaticTracing::Tracer::Stack, StaticTracing::Tracers::Stack
    assert_same StaticTracing::Tracer::Concerns::Stack, StaticTracing::Tracers::Concerns::Stack
  end
end
