# frozen_string_literal: true

# Something to trace: ruby -Ilib examples/shop.rb, or with the gem installed; then what README.md says.
require "ruby-static-tracing"

class Shop
  def search(words)
    sleep(rand < 0.1 ? 0.02 : rand * 0.004)
    words
  end

  def buy(item, count: 1)
    search(item)
    StaticTracing.trace(:payment) { sleep 0.003 * count }
  end
end

StaticTracing::Tracer::Latency.register(Shop, :search, :buy)
warn StaticTracing.unavailable_reason unless StaticTracing.available?
$stdout.sync = true
puts Process.pid
shop = Shop.new
loop { shop.buy("tea", count: rand(1..3)) }
