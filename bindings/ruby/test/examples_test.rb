# frozen_string_literal: true

require "helper"

class ExamplesTest < TracingTest
  def test_rails
    begin
      require "active_support"
    rescue LoadError
      skip "ActiveSupport is not installed (package ruby-activesupport)"
    end
    load File.expand_path("../examples/rails.rb", __dir__)
    announce = lambda do |raised|
      payload = { controller: "Shop", action: "buy", status: (200 unless raised), view_runtime: 1.5, db_runtime: nil }
      ActiveSupport::Notifications.instrument("process_action.action_controller", payload) { sleep 0.01 }
      ActiveSupport::Notifications.instrument("sql.active_record", sql: "SELECT 1", name: nil) { sleep 0.01 }
    end
    announce.(false)
    seen = hits("rails:request", '"%s %d %d %d %d\n", str(arg0), arg1, arg2 >= 10000, arg3, arg4', 2) do
      announce.(false)
      announce.(true)
    end
    assert_equal ["Shop#buy 200 1 1500 0", "Shop#buy 0 1 1500 0"], seen
    seen = hits("rails:sql", '"%s (%d) %d\n", str(arg0), arg1, arg2 >= 10000', 1) { announce.(false) }
    assert_equal ["SELECT 1 (0) 1"], seen
  end
end
