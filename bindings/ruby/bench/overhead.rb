# frozen_string_literal: true

# What probes cost: ruby -Ilib bench/overhead.rb [--traced]. All is timed in turn, in 15 rounds; the medians are
# printed, in nanoseconds, over an empty loop.
require "ruby-static-tracing"

ROUNDS = 15
TRACED = ARGV.include?("--traced")
LOOPS = TRACED ? 20_000 : 300_000
METHODS = {
  "()" => ["m0()", "m0", "m0"],
  "(a, b)" => ["m2(a, b)", "m2(1, 2)", "m2(a, b)"],
  "(a, b = 1), 1 given" => ["mo(a, b = 1)", "mo(1)", "mo(a, b)"],
  "(a, k: 1), k given" => ["mk(a, k: 1)", "mk(1, k: 2)", "mk(a, k: k)"],
  "(*rest), 2 given" => ["mr(*rest)", "mr(1, 2)", "mr(*rest)"],
}.freeze

# Each method as it is.
def make
  Class.new { METHODS.each_value { |head, _| class_eval "def #{head}; end" } }
end

NAMES = METHODS.each_value.map { |head, _| head[/\w+/].to_sym }.freeze
BARE = make

# By hand: a method that asks whether its probe is traced, and calls the method. What a wrapper cannot be cheaper than.
HAND = make.tap do |klass|
  provider = StaticTracing::Provider.register("hand")
  METHODS.each_value do |head, _, again|
    probe = provider.add_tracepoint(head[/\w+/], String, Integer)
    klass.const_set(head[/\w+/].upcase, probe)
    klass.class_eval "def c#{head}; #{head[/\w+/].upcase}.enabled?; #{again}; end"
  end
  provider.enable
end

WRAPPED = make.tap { |klass| StaticTracing::Tracer::Latency.register(klass, NAMES, provider: "wrapped") }

# Wrapped only while traced: a thread looks, every 100 ms, and puts the same wrappers on or takes them off.
POLLED = make
POLLING = StaticTracing::Wrapper.new(StaticTracing::Tracer::Latency, POLLED)
POLLED_PROVIDER = StaticTracing::Provider.register("polled")
NAMES.each { |name| POLLING.add(name, POLLED_PROVIDER) }
POLLED_PROVIDER.enable
def poll
  probes = POLLED_PROVIDER.tracepoints.values
  Thread.new do
    loop do
      probes.any?(&:enabled?) ? POLLING.enable! : POLLING.disable!
      sleep 0.1
    end
  end
end

PROBE = StaticTracing::Tracepoint.new("values", "hit", Integer, String, Symbol)
PROBE.provider.enable
StaticTracing.trace(:block) {}

def loop_of(code)
  eval "# frozen_string_literal: true\n->(o) { i = 0; while i < #{LOOPS}; #{code}; i += 1; end }"
end

def time(loop, object)
  start = StaticTracing.nsec
  loop.call(object)
  (StaticTracing.nsec - start) / LOOPS.to_f
end

def medians(work)
  all = work.transform_values { [] }
  ROUNDS.times { work.each { |name, (loop, object)| all[name] << time(loop, object) } }
  empty = all.delete(:empty).sort[ROUNDS / 2]
  all.transform_values { |times| times.sort[ROUNDS / 2] - empty }
end

if TRACED
  require_relative "../test/tracer"
  providers = %w[hand wrapped polled values blocks]
  tracer = Bpftrace.new(providers.map { |p| "usdt:*:#{p}:* { @#{p} = count(); }" }.join)
end

work = { empty: [loop_of(""), nil] }
METHODS.each do |name, (_, call)|
  work[[name, :bare]] = [loop_of("o.#{call}"), BARE.new]
  work[[name, :hand]] = [loop_of("o.c#{call}"), HAND.new]
  work[[name, :wrapped]] = [loop_of("o.#{call}"), WRAPPED.new]
end
work["tracepoint.enabled?"] = [loop_of("PROBE.enabled?"), nil]
work["tracepoint.fire(1, \"text\", :symbol)"] = [loop_of("PROBE.fire(1, 'text', :symbol)"), nil]
work["the same, if enabled?"] = [loop_of("PROBE.fire(1, 'text', :symbol) if PROBE.enabled?"), nil]
work["StaticTracing.trace(:block) {}"] = [loop_of("StaticTracing.trace(:block) {}"), nil]
result = medians(work)

off = { empty: work[:empty] }
METHODS.each { |name, (_, call)| off[[name, :off]] = [loop_of("o.#{call}"), WRAPPED.new] }
StaticTracing.disable!
result.update(medians(off))

poll
sleep 0.3
polled = { empty: work[:empty] }
METHODS.each { |name, (_, call)| polled[[name, :polled]] = [loop_of("o.#{call}"), POLLED.new] }
result.update(medians(polled))

puts RUBY_DESCRIPTION
puts TRACED ? "traced by bpftrace" : "not traced"
columns = { bare: "bare", hand: "check+call", wrapped: "wrapper", off: "disable!", polled: "polled" }
puts format("%-38s" + "%11s" * columns.size, "", *columns.values)
METHODS.each_key do |name|
  puts format("%-38s" + "%11.0f" * columns.size, name, *columns.keys.map { |c| result[[name, c]] })
end
result.each { |name, value| puts format("%-38s%11.0f", name, value) if name.is_a?(String) }
tracer&.stop
