# frozen_string_literal: true

require "helper"

# Where the extension is not.
class WithoutTest < Minitest::Test
  OFF = { "STATIC_TRACING" => "off", "TAP" => nil }.freeze

  def test_it_says_so
    assert_equal "[false, \"there is no extension: STATIC_TRACING=off\"]\n",
                 ruby("p [StaticTracing.available?, StaticTracing.unavailable_reason]", env: OFF)
  end

  %w[api wrapper].each do |file|
    define_method("test_#{file}_is_the_same") do
      result = ruby("load '#{__dir__}/#{file}_test.rb'", "-W1", "-I#{__dir__}", env: OFF)
      assert_match(/^\d+ runs, \d+ assertions, 0 failures, 0 errors/, result)
    end
  end
end
